{{/* The spec of a Ray cluster: for the RayCluster, and for a RayJob that brings its own. */}}

{{- define "shoal.rayClusterSpec" -}}
rayVersion: {{ .Values.ray.version | quote }}
authOptions: # KubeRay gives the token to what it adds itself: the autoscaler, init containers, the submitter
  mode: token
  secretName: {{ .Values.ray.auth.existingSecret }}
enableInTreeAutoscaling: {{ .Values.ray.autoscaling.enabled }}
{{- if .Values.ray.autoscaling.enabled }}
autoscalerOptions:
  {{- include "shoal.autoscaler" . | nindent 2 }}
{{- end }}
headGroupSpec:
  rayStartParams:
    dashboard-host: 0.0.0.0
    metrics-export-port: "8080"
    num-cpus: "0" # no batch runs beside the driver
  template:
    {{- include "shoal.rayPod" (dict "root" $ "component" "ray-head" "group" .Values.ray.head) | nindent 4 }}
workerGroupSpecs:
  {{- include "shoal.rayWorkers" (dict "root" $ "name" "cpu" "group" .Values.ray.workers) | nindent 2 }}
  {{- range $name, $pool := .Values.ray.gpuPools }}
  {{- include "shoal.rayWorkers" (dict "root" $ "name" $name "group" $pool) | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "shoal.rayWorkers" -}}
- groupName: {{ .name }}
  {{- if not .root.Values.ray.autoscaling.enabled }}{{/* else the autoscaler owns it */}}
  replicas: {{ int64 .group.replicas }}
  {{- end }}
  minReplicas: {{ int64 .group.minReplicas }}
  maxReplicas: {{ int64 .group.maxReplicas }}
  rayStartParams:
    metrics-export-port: "8080"
    {{- with .group.gpus }}
    num-gpus: {{ int64 . | quote }} # KubeRay counts names that end in gpu, and some of MIG
    {{- end }}
  template:
    {{- include "shoal.rayPod" (dict "root" .root "component" "ray-worker" "group" .group) | nindent 4 }}
{{- end -}}

{{/* The autoscaler alone gets a token for Kubernetes: jobs run beside it, and must not be able to make pods. */}}
{{- define "shoal.autoscaler" -}}
version: v2
idleTimeoutSeconds: {{ int64 .Values.ray.autoscaling.idleTimeoutSeconds }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources:
  {{- toYaml .Values.ray.autoscaling.resources | nindent 2 }}
securityContext:
  {{- include "shoal.securityContext" . | nindent 2 }}
env:
  {{- include "shoal.env.rayOwn" . | nindent 2 }}
volumeMounts:
  - name: autoscaler-tmp
    mountPath: /tmp
  - name: ray-logs
    mountPath: /tmp/ray
  - name: autoscaler-home
    mountPath: /home/shoal
  - name: kubernetes
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
{{- end -}}

{{- define "shoal.autoscalerVolumes" -}}
- name: autoscaler-tmp
  emptyDir:
    sizeLimit: 256Mi
- name: autoscaler-home
  emptyDir:
    sizeLimit: 64Mi
- name: kubernetes
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end -}}

{{/* (dict "root" $ "component" "ray-worker" "group" what values say of it) */}}
{{- define "shoal.rayPod" -}}
{{- $values := .root.Values -}}
{{- $head := eq .component "ray-head" -}}
{{- $spot := .group.spot | default false -}}
{{- $node := merge (dict) (.group.nodeSelector | default dict) (ternary $values.ray.spot.nodeSelector dict $spot) -}}
{{- $tolerations := concat (.group.tolerations | default list) (ternary $values.ray.spot.tolerations list $spot) -}}
{{- $scratch := .group.scratch | default "20Gi" -}}
metadata:
  {{- include "shoal.podMetadata" . | nindent 2 }}
spec:
  serviceAccountName: {{ include (ternary "shoal.headAccount" "shoal.account" $head) .root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 60
  {{- include "shoal.pullSecrets" .root | nindent 2 }}
  {{- with .group.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- include "shoal.podSecurityContext" . | nindent 4 }}
  {{- include "shoal.scheduling" (merge (dict "nodeSelector" $node "tolerations" $tolerations) .group) | nindent 2 }}
  containers:
    {{- include "shoal.rayContainer" . | nindent 4 }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: {{ $scratch }}
    - name: ray-logs # named as KubeRay names it, and shared with the autoscaler
      emptyDir:
        sizeLimit: {{ $scratch }}
    - name: home
      emptyDir:
        sizeLimit: 4Gi
    - name: shared-mem # the object store; counts as memory
      emptyDir:
        medium: Memory
        sizeLimit: {{ .group.resources.limits.memory }}
    {{- if and $head $values.ray.autoscaling.enabled }}
    {{- include "shoal.autoscalerVolumes" . | nindent 4 }}
    - name: groups
      configMap:
        name: {{ include "shoal.fullname" .root }}-groups
    {{- end }}
    - name: recipes
      configMap:
        name: {{ include "shoal.fullname" .root }}-recipes
    {{- include "shoal.volumes" .root | nindent 4 }}
{{- end -}}

{{- define "shoal.rayContainer" -}}
{{- $head := eq .component "ray-head" -}}
- name: {{ .component }}
  image: {{ include "shoal.image" (dict "root" .root "image" .group.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  securityContext:
    {{- include "shoal.securityContext" . | nindent 4 }}
  env:
    {{- include "shoal.env.rayPod" (dict "root" .root "head" $head "spot" .group.spot) | nindent 4 }}
    {{- include "shoal.env.own" (dict "env" .root.Values.env "secretEnv" .root.Values.secretEnv) | nindent 4 }}
  ports:
    {{- if $head }}
    - name: gcs-server
      containerPort: 6379
    - name: dashboard
      containerPort: 8265
    {{- end }}
    - name: metrics
      containerPort: 8080
  resources:
    {{- include "shoal.rayResources" .group | nindent 4 }}
  readinessProbe: # of Ray's agent, which answers for the raylet and the head's store; it wants no token
    httpGet:
      path: /api/healthz
      port: 52365
    initialDelaySeconds: 10
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 10
  livenessProbe:
    httpGet:
      path: /api/healthz
      port: 52365
    initialDelaySeconds: 60
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 30 # a head that starts again is no reason to lose workers
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: ray-logs
      mountPath: /tmp/ray
    - name: home
      mountPath: /home/shoal
    - name: shared-mem
      mountPath: /dev/shm
    - name: recipes
      mountPath: /etc/shoal/recipes
      readOnly: true
    {{- if and $head .root.Values.ray.autoscaling.enabled }}
    - name: groups
      mountPath: /etc/shoal/groups
      readOnly: true
    {{- end }}
    {{- include "shoal.volumeMounts" .root | nindent 4 }}
{{- end -}}

{{/* Requests and limits with the GPUs: Kubernetes wants them alike, KubeRay reads the limits. */}}
{{- define "shoal.rayResources" -}}
{{- $gpus := dict -}}
{{- if .gpus -}}
{{- $gpus = dict (.resource | default "nvidia.com/gpu") (.gpus | toString) -}}
{{- end -}}
requests:
  {{- toYaml (merge (dict) .resources.requests $gpus) | nindent 2 }}
limits:
  {{- toYaml (merge (dict) .resources.limits $gpus) | nindent 2 }}
{{- end -}}
