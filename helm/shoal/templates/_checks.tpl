{{/* What the schema can't say, since it needs two values at once. Each message says which value mends it. */}}
{{- define "shoal.checks" -}}
{{- $name := include "shoal.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%q can't name a Ray cluster, which begins with a letter; set fullnameOverride" $name) -}}
{{- end -}}
{{- include "shoal.checkPool" (dict "name" "ray.workers" "pool" .Values.ray.workers "root" .) -}}
{{- range $pool, $values := .Values.ray.gpuPools -}}
{{- include "shoal.checkPool" (dict "name" (printf "ray.gpuPools.%s" $pool) "pool" $values "root" $) -}}
{{- end -}}
{{- if .Values.job.enabled -}}
{{- if not (and .Values.job.images .Values.job.out) -}}
{{- fail "job.enabled needs job.images and job.out: places that every node reaches" -}}
{{- end -}}
{{- end -}}
{{- with .Values.backend -}}
{{- if .enabled -}}
{{- if not .out -}}
{{- fail "backend.enabled needs backend.out: the store that it serves" -}}
{{- end -}}
{{- if not .auth.existingSecret -}}
{{- fail "backend.enabled needs backend.auth.existingSecret: a Secret with the user and the password of Label Studio's requests" -}}
{{- end -}}
{{- if and (contains "://" .out) (not $.Values.database.existingSecret) -}}
{{- fail "backend.out is no folder, so decisions need PostgreSQL: set database.existingSecret" -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
{{- fail "backend.ingress.enabled needs backend.ingress.host" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
{{- include "shoal.checkNetwork" . -}}
{{- end -}}
{{- end -}}

{{- define "shoal.checkPool" -}}
{{- with .pool -}}
{{- if or (gt (int .minReplicas) (int .replicas)) (gt (int .replicas) (int .maxReplicas)) -}}
{{- fail (printf "%s: replicas must lie between minReplicas and maxReplicas" $.name) -}}
{{- end -}}
{{- $spot := $.root.Values.ray.spot -}}
{{- if and .spot (not $spot.nodeSelector) (not $spot.tolerations) -}}
{{- fail (printf "%s.spot needs ray.spot.nodeSelector or ray.spot.tolerations: how spot nodes are marked in your cloud" $.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A place that is named but can't be reached would show as a time-out in the middle of a run. */}}
{{- define "shoal.checkNetwork" -}}
{{- $v := .Values -}}
{{- $used := dict "storage.s3" $v.storage.s3.enabled "mlflow" $v.mlflow.uri "labelStudio" $v.labelStudio.url "database" $v.database.existingSecret -}}
{{- $network := dict "storage.s3" $v.storage.s3.network "mlflow" $v.mlflow.network "labelStudio" $v.labelStudio.network "database" $v.database.network -}}
{{- range $name, $on := $used -}}
{{- $place := get $network $name -}}
{{- if and $on (not $place.namespace) (not $place.cidrs) -}}
{{- fail (printf "%s is used, and pods reach only what is named: set %s.network.namespace or .cidrs (or networkPolicy.enabled=false)" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.ray.autoscaling.enabled (not $v.networkPolicy.apiServer.cidrs) -}}
{{- fail "ray.autoscaling.enabled needs networkPolicy.apiServer.cidrs: the addresses that `kubectl get endpointslices kubernetes` shows" -}}
{{- end -}}
{{- end -}}
