# What each means stands with the root's variables of the same names.

variable "kubeconfig" {
  type = string
}

variable "host" {
  type = string
}

variable "image" {
  type = string
}

variable "image_tag" {
  type = string
}

variable "storage_url" {
  type = string
}

variable "s3_endpoint_url" {
  type = string
}

variable "s3_region" {
  type = string
}

variable "secrets_revision" {
  type = number
}

variable "secret_key" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "postgres_admin_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "postgres_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "redis_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "s3_access_key_id" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "s3_secret_access_key" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "openai_api_key" {
  type      = string
  sensitive = true
  ephemeral = true
}
