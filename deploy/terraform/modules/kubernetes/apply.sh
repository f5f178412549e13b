#!/bin/sh
# Applies KUSTOMIZATION, a text, from the folder RENDERED, and waits until what it changed is ready. KUBECONFIG: which cluster.
set -eu
mkdir -p "$RENDERED"
printf '%s' "$KUSTOMIZATION" > "$RENDERED/kustomization.yaml"
kubectl apply --kustomize "$RENDERED"
kubectl --namespace askgraph rollout status statefulset/postgres --timeout=10m
kubectl --namespace askgraph rollout status deployment/pgbouncer --timeout=5m
kubectl --namespace askgraph rollout status deployment/redis --timeout=5m
kubectl --namespace askgraph rollout status deployment/askgraph --timeout=20m
