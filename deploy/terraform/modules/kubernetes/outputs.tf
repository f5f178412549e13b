output "namespace" {
  description = "Where the service runs."
  value       = kubernetes_namespace_v1.askgraph.metadata[0].name
}
