# What each means stands with the root's variables of the same names.

variable "name" {
  type = string
}

variable "location" {
  type = string
}

variable "network_zone" {
  type = string
}

variable "server_type" {
  type = string
}

variable "server_count" {
  type = number
}

variable "server_image" {
  type = string
}

variable "ssh_public_keys" {
  type = map(string)
}

variable "admin_ips" {
  type = list(string)
}

variable "k3s_version" {
  type = string
}

variable "cluster_token" {
  type      = string
  sensitive = true
}

variable "acme_email" {
  type = string
}
