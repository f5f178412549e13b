output "load_balancer_ips" {
  description = "The load balancer's public addresses."
  value       = { ipv4 = hcloud_load_balancer.public.ipv4, ipv6 = hcloud_load_balancer.public.ipv6 }
}

output "server_ips" {
  description = "The servers' public addresses, the first server's first."
  value       = hcloud_server.server[*].ipv4_address
}

output "kubeconfig_command" {
  description = "Fetches the kubeconfig of the first server, with its public address in it."
  value       = "(umask 077; ssh root@${hcloud_server.server[0].ipv4_address} cat /etc/rancher/k3s/k3s.yaml | sed 's/127.0.0.1/${hcloud_server.server[0].ipv4_address}/' > kubeconfig)"
}
