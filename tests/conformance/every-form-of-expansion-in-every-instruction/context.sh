# Fourteen forms, in all that expands. The shell of a RUN is the second opinion.
words='$V ${V} ${N:-w} ${N-w} ${V:+w} ${V+w} ${V:?e} ${V?e} ${V#*-} ${V##*-} ${V%-*} ${V%%-*} ${V/-/_} ${V//-/_}'
numbers='$P ${P} ${N:-75} ${N-75} ${P:+75} ${P+75} ${P:?e} ${P?e} ${P#70} ${P##70} ${P%70} ${P%%70} ${P/70/60} ${P//70/60}'
signals='$S ${S} ${N:-9} ${N-9} ${S:+9} ${S+9} ${S:?e} ${S?e} ${S#SIG} ${S##*G} ${S%x} ${S%%x*} ${S/TERM/INT} ${S//T/T}'
names=
for name in x-y-z w y-z z x-y x x_y-z x_y_z; do echo "$name" > "$name"; names="$names $name"; done
{
    echo 'ARG V=x-y-z'
    for name in $names; do printf 'FROM scratch AS %s\nCOPY %s /\n' "$name" "$name"; done
    i=0; for form in $words; do i=$((i + 1)); echo "FROM $form AS from$i"; done
    echo 'FROM busybox'
    echo 'ARG V=x-y-z'
    echo 'ENV P=7070 S=SIGTERM'
    i=0
    for form in $words; do
        i=$((i + 1))
        echo "COPY --from=from$i / /from$i/"
        echo "ARG A$i=$form"
        echo "ENV E$i=$form a$i=\$A$i"
        echo "LABEL L$i=$form k$form=v$i"
        echo "VOLUME /v$i/$form"
        echo "VOLUME [\"/j$i/$form\"]"
        echo "WORKDIR /dir$i/$form"
        printf 'USER %s\nUSER 0\n' "$form"
        echo "COPY $form /copied$i/$form/"
        echo "ADD [\"$form\", \"/added$i/$form/\"]"
    done
    for form in $numbers; do
        echo "EXPOSE $form"
        echo "COPY --chown=$form:$form --chmod=$form w /owned/$form"
    done
    for form in $signals; do echo "STOPSIGNAL $form"; done
    printf 'RUN'
    for form in $words; do printf ' --mount=type=tmpfs,target=/mounts/%s' "$form"; done
    echo ' ls -1 /mounts > /mounted'
    echo 'COPY <<END /text'
    for form in $words; do echo "$form"; done
    echo 'END'
    echo 'RUN <<END cat > /shell'
    for form in $words; do echo "$form"; done
    echo 'END'
    echo 'RUN cmp /text /shell'
} > ../Dockerfile
