#!/usr/bin/env bash
# Chart and component render, are what Kubernetes accepts, keep the rules of rules.py, and are what was looked at last
# (UPDATE=1 writes the snapshots anew).
set -euo pipefail

cd "$(dirname "$0")/../.."
chart=deploy/helm/tollgate
rendered=target/deploy/rendered
rm -rf "$rendered" && mkdir -p "$rendered"

for values in "$chart"/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    helm lint --strict --quiet "$chart" --values "$values"
    helm template gate "$chart" --namespace mcp --values "$values" >"$rendered/helm-$name.yaml"
done
kubectl kustomize deploy/kubernetes/example >"$rendered/kustomize-sidecar.yaml"

# Kinds of operators have no schema here; that they render is all that is known.
foreign="Couldn't find schema for kind \(ExternalSecret\|PodMonitor\|PrometheusRule\|ServiceMonitor\) "
# Both schemas that a cluster of today may have; --strict knows unknown keys.
for version in 1.31 1.34; do
    kubernetes-validate --quiet --kubernetes-version "$version" --strict "$rendered"/*.yaml |
        { grep --invert-match "$foreign" || true; }
done
python tests/deploy/rules.py "$rendered" target/debug/tollgate

refuses() {
    if helm template gate "$chart" "${@:2}" >/dev/null 2>"$rendered/refused"; then
        echo "the chart takes what it must refuse: $1" >&2
        exit 1
    fi
    grep --quiet --fixed-strings -- "$1" "$rendered/refused" || { cat "$rendered/refused" >&2; exit 1; }
}
ok=(--values "$chart/ci/gateway-values.yaml")
refuses "server.url" --set principals.existingSecret=x --set-string 'policies.files.a\.yaml=x'
refuses "principals.existingSecret" "${ok[@]}" --set principals.existingSecret=
refuses "gate without policies" --set server.url=http://a/mcp --set principals.existingSecret=x
refuses "unknwon" "${ok[@]}" --set unknwon=1
refuses "tag" "${ok[@]}" --set image.tag=latest
refuses "admin" "${ok[@]}" --set config.admin.address=x
refuses "settings" "${ok[@]}" --set server.settings.url=http://a/mcp
refuses "/server/url" "${ok[@]}" --set 'server.url={ftp://a}'
grep --quiet "replicas: 10" "$rendered/helm-everything.yaml" || { echo "limits_store does not know how many pods share it" >&2; exit 1; }

for name in kustomize-sidecar helm-sidecar; do
    if [[ ${UPDATE:-} == 1 ]]; then
        cp "$rendered/$name.yaml" "tests/deploy/snapshots/$name.yaml"
    fi
    diff -u "tests/deploy/snapshots/$name.yaml" "$rendered/$name.yaml"
done
echo "manifests: $(find "$rendered" -name '*.yaml' | wc -l) sets rendered, valid, and by the rules"
