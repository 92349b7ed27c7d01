{{- define "nima.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "nima.address" -}}
{{- printf "%s.%s.svc:8001" (include "nima.name" .) .Release.Namespace -}}
{{- end -}}

{{- define "nima.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "nima.labels" -}}
{{ include "nima.selector" . }}
{{ include "nima.origin" . }}
{{- end -}}

{{- /* Another component, lest the Service send requests to workers. */ -}}
{{- define "nima.bulkLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: bulk
{{ include "nima.origin" . }}
{{- end -}}

{{- define "nima.origin" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* An image of the values; `context` gives the chart's version. */ -}}
{{- define "nima.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .context.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "nima.plans" -}}
{{- .Values.planCache.existingClaim | default (printf "%s-plans" (include "nima.name" .)) -}}
{{- end -}}

{{- define "nima.ownModels" -}}
{{- with .Values.modelRepository -}}
{{- if or .existingClaim .image .archive.url -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Mean milliseconds that a request waits, for KEDA. */ -}}
{{- define "nima.queueQuery" -}}
{{- $pods := printf "namespace=%q,pod=~%q" .Release.Namespace (printf "%s-.*" (include "nima.name" .)) -}}
sum(rate(nv_inference_queue_duration_us{model=~"nima_.*",{{ $pods }}}[1m])) / 1000 / clamp_min(sum(rate(nv_inference_request_success{model="nima",{{ $pods }}}[1m])), 0.001)
{{- end -}}

{{- /* Seconds for requests in flight; the last five are for Triton to unload its models. */ -}}
{{- define "nima.drainSeconds" -}}
{{- sub (int .Values.terminationGracePeriodSeconds) (add (int .Values.preStopSeconds) 5) -}}
{{- end -}}

{{- /* Sets of values that JSON Schema cannot compare. */ -}}
{{- define "nima.check" -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas %d is more than maxReplicas %d" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if lt (int (include "nima.drainSeconds" .)) 1 -}}
{{- fail (printf "terminationGracePeriodSeconds %d leaves no time for requests in flight: give more than preStopSeconds %d and 5" (int .Values.terminationGracePeriodSeconds) (int .Values.preStopSeconds)) -}}
{{- end -}}
{{- with .Values.bulk -}}
{{- if and .enabled (gt (int .parallelism) (int .workers)) -}}
{{- fail (printf "bulk.parallelism %d is more than bulk.workers %d" (int .parallelism) (int .workers)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
