module "hetzner" {
  source = "./modules/hetzner"

  name            = var.name
  location        = var.location
  network_zone    = var.network_zone
  server_type     = var.server_type
  server_count    = var.server_count
  server_image    = var.server_image
  ssh_public_keys = var.ssh_public_keys
  admin_ips       = var.admin_ips
  k3s_version     = var.k3s_version
  cluster_token   = var.cluster_token
  acme_email      = var.acme_email
}

module "kubernetes" {
  source = "./modules/kubernetes"
  # A provider cannot be set up with what the same apply makes: the cluster comes first, then what runs on it.
  count = var.kubeconfig == "" ? 0 : 1

  kubeconfig              = var.kubeconfig
  host                    = var.host
  image                   = var.image
  image_tag               = var.image_tag
  storage_url             = var.storage_url
  s3_endpoint_url         = var.s3_endpoint_url
  s3_region               = var.s3_region
  secrets_revision        = var.secrets_revision
  secret_key              = var.secret_key
  postgres_admin_password = var.postgres_admin_password
  postgres_password       = var.postgres_password
  redis_password          = var.redis_password
  s3_access_key_id        = var.s3_access_key_id
  s3_secret_access_key    = var.s3_secret_access_key
  openai_api_key          = var.openai_api_key
}
