output "load_balancer_ips" {
  description = "What the host's A and AAAA records must say."
  value       = module.hetzner.load_balancer_ips
}

output "server_ips" {
  description = "The servers' public addresses, for SSH."
  value       = module.hetzner.server_ips
}

output "kubeconfig_command" {
  description = "Fetches the cluster's kubeconfig, for kubectl and for the variable kubeconfig."
  value       = module.hetzner.kubeconfig_command
}

output "namespace" {
  description = "Where the service runs; nothing before the second apply."
  value       = one(module.kubernetes[*].namespace)
}
