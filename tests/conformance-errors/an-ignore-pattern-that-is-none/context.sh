printf "ok\n\n[a-\n" > .dockerignore
