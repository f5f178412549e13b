locals {
  network = "10.10.0.0/16"
  subnet  = "10.10.1.0/24"
  # The first servers' addresses; the load balancer is given one by the cloud, above them.
  server_ips = [for number in range(var.server_count) : cidrhost(local.subnet, 10 + number)]
  labels     = { service = var.name }
}

resource "hcloud_network" "private" {
  name     = var.name
  ip_range = local.network
  labels   = local.labels
}

resource "hcloud_network_subnet" "servers" {
  network_id   = hcloud_network.private.id
  type         = "cloud"
  network_zone = var.network_zone
  ip_range     = local.subnet
}

# Of the public side only: what servers say to each other, and the load balancer to them, goes over the private network.
# What no rule lets in stays out, 80 and 443 too.
resource "hcloud_firewall" "servers" {
  name   = var.name
  labels = local.labels

  rule {
    description = "SSH"
    direction   = "in"
    protocol    = "tcp"
    port        = "22"
    source_ips  = var.admin_ips
  }

  rule {
    description = "Kubernetes API"
    direction   = "in"
    protocol    = "tcp"
    port        = "6443"
    source_ips  = var.admin_ips
  }

  rule {
    description = "ping"
    direction   = "in"
    protocol    = "icmp"
    source_ips  = var.admin_ips
  }
}

resource "hcloud_ssh_key" "admin" {
  for_each = var.ssh_public_keys

  name       = "${var.name}-${each.key}"
  public_key = each.value
  labels     = local.labels
}

# Each on a machine of its own, so that one that fails takes one server.
resource "hcloud_placement_group" "servers" {
  name   = var.name
  type   = "spread"
  labels = local.labels
}

resource "hcloud_server" "server" {
  count = var.server_count

  name               = "${var.name}-${count.index + 1}"
  image              = var.server_image
  server_type        = var.server_type
  location           = var.location
  ssh_keys           = [for key in hcloud_ssh_key.admin : key.id]
  firewall_ids       = [hcloud_firewall.servers.id]
  placement_group_id = hcloud_placement_group.servers.id
  labels             = local.labels

  user_data = templatefile("${path.module}/cloud-init.yaml.tftpl", {
    first         = count.index == 0
    alone         = var.server_count == 1
    network       = local.network
    private_ip    = local.server_ips[count.index]
    first_ip      = local.server_ips[0]
    k3s_version   = var.k3s_version
    cluster_token = var.cluster_token
    acme_email    = var.acme_email
  })

  network {
    network_id = hcloud_network.private.id
    ip         = local.server_ips[count.index]
  }

  public_net {
    ipv4_enabled = true
    ipv6_enabled = true
  }

  depends_on = [hcloud_network_subnet.servers]

  lifecycle {
    # They count when a server is made; a change would make all of them anew, with what is on their disks.
    ignore_changes = [user_data, image, ssh_keys]
  }
}

resource "hcloud_load_balancer" "public" {
  name               = var.name
  load_balancer_type = "lb11"
  location           = var.location
  labels             = local.labels
}

resource "hcloud_load_balancer_network" "public" {
  load_balancer_id = hcloud_load_balancer.public.id
  subnet_id        = hcloud_network_subnet.servers.id
}

resource "hcloud_load_balancer_target" "server" {
  count = var.server_count

  type             = "server"
  load_balancer_id = hcloud_load_balancer.public.id
  server_id        = hcloud_server.server[count.index].id
  use_private_ip   = true

  depends_on = [hcloud_load_balancer_network.public]
}

# TLS ends at Traefik, which learns callers' addresses by the PROXY protocol. No time-out of silent connections on the way is
# met: sockets and streams speak every 30 seconds at least.
resource "hcloud_load_balancer_service" "web" {
  for_each = { http = 80, https = 443 }

  load_balancer_id = hcloud_load_balancer.public.id
  protocol         = "tcp"
  listen_port      = each.value
  destination_port = each.value
  proxyprotocol    = true

  health_check {
    protocol = "tcp"
    port     = each.value
    interval = 10
    timeout  = 5
    retries  = 3
  }
}
