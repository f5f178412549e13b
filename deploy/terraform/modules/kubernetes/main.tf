locals {
  manifests = "${path.module}/../../../k8s"
  # What this installation has of its own, over the overlay for k3s.
  kustomization = templatefile("${path.module}/kustomization.yaml.tftpl", {
    overlay         = "../../k8s/overlays/k3s"
    host            = var.host
    image           = var.image
    image_tag       = var.image_tag
    storage_url     = var.storage_url
    s3_endpoint_url = var.s3_endpoint_url
    s3_region       = var.s3_region
  })
}

resource "kubernetes_namespace_v1" "askgraph" {
  metadata {
    name = "askgraph"
    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
    }
  }

  lifecycle {
    # The overlay has it too, with labels of its own.
    ignore_changes = [metadata[0].labels, metadata[0].annotations]
  }
}

# data_wo is written to the cluster and kept in no state; a raised revision writes it anew.
resource "kubernetes_secret_v1" "askgraph" {
  metadata {
    name      = "askgraph"
    namespace = kubernetes_namespace_v1.askgraph.metadata[0].name
  }

  data_wo = {
    SECRET_KEY           = var.secret_key
    OPENAI_API_KEY       = var.openai_api_key
    S3_ACCESS_KEY_ID     = var.s3_access_key_id
    S3_SECRET_ACCESS_KEY = var.s3_secret_access_key
  }
  data_wo_revision = var.secrets_revision
}

resource "kubernetes_secret_v1" "postgres" {
  metadata {
    name      = "askgraph-postgres"
    namespace = kubernetes_namespace_v1.askgraph.metadata[0].name
  }

  data_wo = {
    POSTGRES_ADMIN_PASSWORD = var.postgres_admin_password
    POSTGRES_PASSWORD       = var.postgres_password
  }
  data_wo_revision = var.secrets_revision
}

resource "kubernetes_secret_v1" "redis" {
  metadata {
    name      = "askgraph-redis"
    namespace = kubernetes_namespace_v1.askgraph.metadata[0].name
  }

  data_wo = {
    REDIS_PASSWORD = var.redis_password
  }
  data_wo_revision = var.secrets_revision
}

# No provider of HashiCorp's reads kustomizations: kubectl does, as for every other overlay. It runs when anything that
# it would apply has changed.
resource "terraform_data" "overlay" {
  triggers_replace = {
    kustomization = local.kustomization
    manifests     = sha256(join("", [for file in sort(fileset(local.manifests, "**")) : filesha256("${local.manifests}/${file}")]))
  }

  provisioner "local-exec" {
    command = "sh ${path.module}/apply.sh"
    environment = {
      KUBECONFIG    = abspath(var.kubeconfig)
      KUSTOMIZATION = local.kustomization
      RENDERED      = "${path.module}/../../rendered"
    }
  }

  depends_on = [kubernetes_secret_v1.askgraph, kubernetes_secret_v1.postgres, kubernetes_secret_v1.redis]
}
