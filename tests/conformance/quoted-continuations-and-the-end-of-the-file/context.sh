printf 'FROM busybox\nENV A="one \\\n  two" B='"'"'three \\\nfour'"'"'\nRUN printf "%%s|" \\\n# gone\n  "$A" "$B" > /seen \\\n' > ../Dockerfile
