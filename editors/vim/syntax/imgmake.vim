" Vim syntax file
" Language: imgmake manifest (imgmake.kdl)

if exists("b:current_syntax")
  finish
endif

" Words of the manifest hold `-` and `.`, and names of steps are those of Dockerfiles.
syntax iskeyword @,48-57,_,-,.

syntax keyword imgmakeKind imgmake var secret registry template run build scan push group include
syntax keyword imgmakeAttribute add-hosts advisories allow allow-unjudged also-stages annotations args auth bases
syntax keyword imgmakeAttribute ca cache cache-mounts client-cert cmd command compression
syntax keyword imgmakeAttribute concurrency context contexts copy create-repo db debounce default-from
syntax keyword imgmakeAttribute desc dir disk dns dns-search dockerfile entrypoint env env-file epss
syntax keyword imgmakeAttribute epoch every-push exclude export expose fail-on file format from gitignore healthcheck if ignore
syntax keyword imgmakeAttribute ignore-file ignore-paths images index inherits inputs insecure interactive jobs kev label
syntax keyword imgmakeAttribute labels layer layout limits load lock matches matrix max-db-age memory
syntax keyword imgmakeAttribute mirrors mirrors-only mkdir name needs network no-cache on-busy only-new
syntax keyword imgmakeAttribute one-of outputs pool requires platforms processes publish report repository
syntax keyword imgmakeAttribute needs-attestation require-signature retry scanner secrets skip-tls-verify squash ssh
syntax keyword imgmakeAttribute stage steps stopsignal symlink tags tar targets time timeout to
syntax keyword imgmakeAttribute sign attest trust-ca ttl user vex volume watch workdir write-digests

" The value of `(target)base`, `(secret)token` and the like.
syntax match imgmakeType "([a-z]\+)"
syntax match imgmakeProperty "\v<%(access|access-key|access-token|as|attempts|backoff|builder|certificate|certificate-identity|certificate-oidc-issuer|certificate-root|client-id|client-secret|code-quality|cyclonedx|desc|endpoint|env|equals|external-id|federated-token|file|fixable|format|git|html|image|interval|json|junit|key|key-file|kind|level|lifecycle-policy|managed-identity|matches|max|max-age|mode|not-equals|older|on-error|optional|owner|package|password|path|pick|profile|reason|rekor-key|ref|region|repository-policy|retries|role|same-db|sarif|scan-on-push|scope|secret-key|session-name|session-token|severity|spdx|start-interval|start-period|sts-endpoint|table|tar|tenant|timeout|to|token|type|unknown|unset|until|user|version|web-identity-token)\ze\="
syntax match imgmakeValue "\v%(\s|\=)@1<=%(anonymous|aws-ecr|azure|basic|bearer|bool|branch|builtin|command|copy|critical|default|docker|docker-config|each|fail|gcp|grype|gzip|high|host|hygiene|image|isolated|license|list|low|max|medium|min|misconfiguration|needs-gate|negligible|none|number|oci|off|podman|project|queue|read|read-write|referrers|restart|run|security\.insecure|sha|short-sha|string|tag|target|together|trivy|user|vulnerability|warn|write|zstd)\ze%(\s|;|}|$)"
syntax match imgmakeConstant "#\(true\|false\|null\)\>"
syntax match imgmakeNumber "\v%(\s|\=)@1<=[-+]?\d[0-9_]*%(\.\d+)?>"

syntax match imgmakeEscape "\\." contained
syntax match imgmakeLiteral "\$\${" contained
syntax region imgmakeInterpolation start="\$\@1<!\${" end="}" contained contains=imgmakeFunction,imgmakeFact,imgmakeInnerText
syntax match imgmakeFunction "\v<%(default|join|lower|replace|slug|upper)\ze\(" contained
syntax match imgmakeFact "\v<%(env\.\w+|git\.%(sha|short|branch|tag)>)" contained
syntax match imgmakeInnerText "'[^']*'" contained

syntax region imgmakeString start=+"+ skip=+\\.+ end=+"+ contains=imgmakeEscape,imgmakeLiteral,imgmakeInterpolation
syntax region imgmakeString start=+"""+ end=+"""+ contains=imgmakeEscape,imgmakeLiteral,imgmakeInterpolation
syntax region imgmakeRawString start=+\z(#\+\)"+ end=+"\z1+

syntax keyword imgmakeTodo TODO FIXME XXX contained
syntax match imgmakeComment "//.*$" contains=imgmakeTodo
syntax region imgmakeComment start="/\*" end="\*/" contains=imgmakeComment,imgmakeTodo
syntax match imgmakeComment "/-"

highlight default link imgmakeKind Statement
highlight default link imgmakeAttribute Identifier
highlight default link imgmakeProperty Identifier
highlight default link imgmakeType Type
highlight default link imgmakeValue Constant
highlight default link imgmakeConstant Boolean
highlight default link imgmakeNumber Number
highlight default link imgmakeString String
highlight default link imgmakeRawString String
highlight default link imgmakeEscape SpecialChar
highlight default link imgmakeLiteral SpecialChar
highlight default link imgmakeInterpolation PreProc
highlight default link imgmakeFunction Function
highlight default link imgmakeFact PreProc
highlight default link imgmakeInnerText String
highlight default link imgmakeComment Comment
highlight default link imgmakeTodo Todo

let b:current_syntax = "imgmake"
