terraform {
  # 1.11: write-only arguments, by which no secret of the service is kept in the state.
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "1.54.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "2.38.0"
    }
  }
}

provider "hcloud" {
  token = var.hcloud_token
}

provider "kubernetes" {
  config_path = var.kubeconfig == "" ? null : var.kubeconfig
}
