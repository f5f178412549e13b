# --- The cloud ---------------------------------------------------------------------------------------------------------

variable "hcloud_token" {
  description = "The project's API token, with read and write. Give it as TF_VAR_hcloud_token."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "name" {
  description = "What the names of all that is made begin with."
  type        = string
  default     = "askgraph"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "Small letters, digits and hyphens, 3 to 32 of them, a letter first."
  }
}

variable "location" {
  description = "Where the servers stand, as Hetzner names it."
  type        = string
  default     = "nbg1"
  nullable    = false
}

variable "network_zone" {
  description = "The zone that the location is in."
  type        = string
  default     = "eu-central"
  nullable    = false
}

variable "server_type" {
  description = "The kind of server. PostgreSQL, Redis and two pods of the service want 8 GB in all, and room to roll."
  type        = string
  default     = "cpx31"
  nullable    = false
}

variable "server_count" {
  description = "Servers, each a member of the control plane: 1, or 3 or 5, of which one or two may fail."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = contains([1, 3, 5], var.server_count)
    error_message = "1, 3 or 5: etcd needs more than half of its members."
  }
}

variable "server_image" {
  description = "What the servers run."
  type        = string
  default     = "debian-12"
  nullable    = false
}

variable "ssh_public_keys" {
  description = "Who may sign in to the servers as root: name and public key."
  type        = map(string)

  validation {
    condition     = length(var.ssh_public_keys) > 0 && alltrue([for key in var.ssh_public_keys : can(regex("^(ssh-ed25519|ecdsa-sha2-|sk-|ssh-rsa )", key))])
    error_message = "At least one public key, as it stands in a .pub file."
  }
}

variable "admin_ips" {
  description = "Networks that may reach SSH and the Kubernetes API, and nobody else: [\"203.0.113.7/32\"]."
  type        = list(string)

  validation {
    condition     = length(var.admin_ips) > 0 && alltrue([for network in var.admin_ips : can(cidrhost(network, 0))])
    error_message = "At least one network, as in 203.0.113.7/32 or 2001:db8::/64."
  }

  validation {
    condition = alltrue([
      for network in var.admin_ips :
      try(tonumber(split("/", network)[1]) >= (strcontains(network, ":") ? 32 : 16), false)
    ])
    error_message = "Not the whole world, nor a large part of it: prefixes of 16 bits or more (IPv6: 32)."
  }
}

variable "k3s_version" {
  description = "The release of k3s, with Traefik in it."
  type        = string
  default     = "v1.34.1+k3s1"
  nullable    = false

  validation {
    condition     = can(regex("^v1\\.[0-9]+\\.[0-9]+\\+k3s[0-9]+$", var.k3s_version))
    error_message = "A release, as in v1.34.1+k3s1; no channel."
  }
}

variable "cluster_token" {
  description = "By which servers join the cluster: openssl rand -hex 32. Give it as TF_VAR_cluster_token."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.cluster_token))
    error_message = "64 hexadecimal digits."
  }
}

variable "acme_email" {
  description = "Where Let's Encrypt writes when a certificate runs out."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.acme_email))
    error_message = "An address of e-mail."
  }
}

# --- The service ---------------------------------------------------------------------------------------------------------

variable "kubeconfig" {
  description = "The file with which kubectl reaches the cluster; empty until the cluster is there (README.md)."
  type        = string
  default     = ""
  nullable    = false
}

variable "host" {
  description = "The name under which people find the service. It must lead to the load balancer."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.host))
    error_message = "A host's name, as in askgraph.example.org, without scheme and port."
  }
}

variable "image" {
  description = "The image's name, without a tag: ghcr.io/OWNER/askgraph."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$", var.image))
    error_message = "registry/owner/name, in small letters, without a tag."
  }
}

variable "image_tag" {
  description = "The image's tag: a release, never latest."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "A tag that always means the same image."
  }
}

variable "storage_url" {
  description = "The bucket that uploads go to: s3://bucket/prefix."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9.-]+(/[a-z0-9-]+)*/?$", var.storage_url))
    error_message = "s3://bucket or s3://bucket/prefix."
  }
}

variable "s3_endpoint_url" {
  description = "The bucket's server, where it is not Amazon's own."
  type        = string
  default     = ""
  nullable    = false
}

variable "s3_region" {
  description = "The bucket's region."
  type        = string
  default     = "us-east-1"
  nullable    = false
}

# --- Secrets: given at each plan and apply as TF_VAR_…, kept in the cluster and in no state ------------------------------

variable "secrets_revision" {
  description = "Raise it when a secret below has changed: that is how Terraform knows."
  type        = number
  default     = 1
  nullable    = false
}

variable "secret_key" {
  description = "Signs access tokens: openssl rand -hex 32."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = length(var.secret_key) >= 32
    error_message = "32 characters or more."
  }
}

variable "postgres_admin_password" {
  description = "Of PostgreSQL's administrator: openssl rand -hex 32. Counts when the database is made."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[0-9a-f]{32,}$", var.postgres_admin_password))
    error_message = "32 hexadecimal digits or more: it stands in a URL."
  }
}

variable "postgres_password" {
  description = "Of the service's role: openssl rand -hex 32. Counts when the database is made."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[0-9a-f]{32,}$", var.postgres_password))
    error_message = "32 hexadecimal digits or more: it stands in a URL."
  }
}

variable "redis_password" {
  description = "Of Redis: openssl rand -hex 32."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[0-9a-f]{32,}$", var.redis_password))
    error_message = "32 hexadecimal digits or more: it stands in a URL."
  }
}

variable "s3_access_key_id" {
  description = "The bucket's key id."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "s3_secret_access_key" {
  description = "The bucket's key."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "openai_api_key" {
  description = "The model's key; empty: none, and answers are quoted from the documents."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  ephemeral   = true
}
