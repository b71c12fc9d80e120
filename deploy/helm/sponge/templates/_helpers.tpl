{{/* Names are cut to what a label and a Service may have. */}}
{{- define "sponge.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a workload's pods are chosen by: never changes. Arguments: context, component. */}}
{{- define "sponge.selector" -}}
app.kubernetes.io/name: sponge
app.kubernetes.io/instance: {{ .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "sponge.labels" -}}
{{ include "sponge.selector" . }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version }}
{{- end -}}

{{- define "sponge.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "sponge.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "sponge.name" .) }}
{{- end -}}

{{/* Pod Security "restricted", and no more than Sponge needs. */}}
{{- define "sponge.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "sponge.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* What every pod of this chart has. */}}
{{- define "sponge.podPlace" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* There may be more than one replica. */}}
{{- define "sponge.isMany" -}}
{{- if or (ne .Values.autoscaling.kind "none") .Values.operate.enabled (gt (int .Values.replicas) 1) -}}true{{- end -}}
{{- end -}}

{{/* What contradicts itself ends the rendering in one line. */}}
{{- define "sponge.check" -}}
{{- if and .Values.operate.enabled (ne .Values.tls.secretName "") -}}
{{- fail "operate.enabled asks the pods over plain HTTP: set tls.secretName='', or operate.enabled=false" -}}
{{- end -}}
{{- if and .Values.operate.enabled (ne .Values.autoscaling.kind "none") -}}
{{- fail "operate.enabled and autoscaling.kind both decide the number of replicas: set autoscaling.kind=none, or operate.enabled=false" -}}
{{- end -}}
{{- if and .Values.tls.clientCa (not .Values.tls.secretName) -}}
{{- fail "tls.clientCa needs tls.secretName: the CA is its ca.crt" -}}
{{- end -}}
{{- if and .Values.resize.enabled (not .Values.resources.limits.cpu) -}}
{{- fail "resize.enabled moves the CPU limit: set resources.limits.cpu" -}}
{{- end -}}
{{- if and .Values.operate.enabled (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "operate.enabled needs Kubernetes 1.33 (pods/resize), and this is %s: set operate.enabled=false" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and .Values.resize.enabled (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "resize.enabled needs Kubernetes 1.33 (pods/resize), and this is %s: set resize.enabled=false" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{/* The kubelet has no client's certificate to show: where one is asked for, it only looks whether the port is open. */}}
{{- define "sponge.probe" -}}
{{- if .isClosed -}}
tcpSocket: { port: http }
{{- else -}}
httpGet: { path: {{ .path }}, port: http{{ if .isTls }}, scheme: HTTPS{{ end }} }
{{- end -}}
{{- end -}}

{{/* The CPU limit in cores. */}}
{{- define "sponge.limitCores" -}}
{{- $cpu := .Values.resources.limits.cpu | toString -}}
{{- if hasSuffix "m" $cpu -}}{{ divf (trimSuffix "m" $cpu | float64) 1000.0 }}{{- else -}}{{ $cpu }}{{- end -}}
{{- end -}}
