{{/* What the schema can't say, since it needs two values at once. Each message says which value mends it. */}}
{{- define "shoal.checks" -}}
{{- $name := include "shoal.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%q can't name a Ray cluster, which begins with a letter; set fullnameOverride" $name) -}}
{{- end -}}
{{- include "shoal.checkPools" . -}}
{{- include "shoal.checkVariables" (dict "at" "" "set" (include "shoal.env.rayPod" (dict "root" . "head" true "spot" true)) "env" .Values.env "secretEnv" .Values.secretEnv) -}}
{{- if .Values.job.enabled -}}
{{- if not (and .Values.job.images .Values.job.out) -}}
{{- fail "job.enabled needs job.images and job.out: places that every node reaches" -}}
{{- end -}}
{{- end -}}
{{- if .Values.backend.enabled -}}
{{- include "shoal.checkBackend" . -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
{{- include "shoal.checkNetwork" . -}}
{{- end -}}
{{- end -}}

{{- define "shoal.checkPools" -}}
{{- include "shoal.checkPool" (dict "name" "ray.workers" "pool" .Values.ray.workers "root" .) -}}
{{- $pods := int .Values.ray.workers.replicas -}}
{{- range $pool, $values := .Values.ray.gpuPools -}}
{{- include "shoal.checkPool" (dict "name" (printf "ray.gpuPools.%s" $pool) "pool" $values "root" $) -}}
{{- $pods = add $pods (int .replicas) -}}
{{- end -}}
{{- if not (or $pods .Values.ray.autoscaling.enabled) -}}
{{- fail "no pool has a pod, and the head lends jobs no CPU: set ray.workers.replicas, that of a pool in ray.gpuPools, or ray.autoscaling.enabled" -}}
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
{{- if and (gt (int .gpus) 1) (regexMatch "/mig-|\\.shared$" (.resource | default "")) -}}
{{- fail (printf "%s: a program sees one part of a GPU, of %s too; set gpus: 1, and more replicas" $.name .resource) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The API server knows variables by name, and takes no list that has one twice. (dict "set" what the chart and "env", "secretEnv" what the user sets "at" "backend.") */}}
{{- define "shoal.checkVariables" -}}
{{- $set := list -}}
{{- range .set | fromYamlArray -}}
{{- $set = append $set .name -}}
{{- end -}}
{{- $kuberay := list "FQ_RAY_IP" "KUBERAY_GEN_RAY_START_CMD" "RAY_CLOUD_INSTANCE_ID" "RAY_CLUSTER_NAME" "RAY_CLUSTER_NAMESPACE" "RAY_IP" "RAY_NODE_TYPE_NAME" "RAY_USAGE_STATS_EXTRA_TAGS" "RAY_enable_autoscaler_v2" -}}
{{- range $name := concat (keys (.env | default dict)) (keys (.secretEnv | default dict)) | sortAlpha -}}
{{- if and (hasKey $.env $name) (hasKey $.secretEnv $name) -}}
{{- fail (printf "%senv and %ssecretEnv both set %s; leave one of them off" $.at $.at $name) -}}
{{- end -}}
{{- if has $name $set -}}
{{- fail (printf "%senv or %ssecretEnv sets %s, which the chart sets itself; leave it off, and set the value of the chart that it is made of" $.at $.at $name) -}}
{{- end -}}
{{- if has $name $kuberay -}}
{{- fail (printf "%senv or %ssecretEnv sets %s, which KubeRay sets itself; leave it off" $.at $.at $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "shoal.checkBackend" -}}
{{- with .Values.backend -}}
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
{{- include "shoal.checkVariables" (dict "at" "backend." "set" (include "shoal.env.backend" $) "env" .env "secretEnv" .secretEnv) -}}
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
