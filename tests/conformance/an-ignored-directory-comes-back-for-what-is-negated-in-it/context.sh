mkdir -p build/out/deep
echo 1 > build/out/deep/app
echo 2 > build/junk
printf 'build\n!build/out/**\n.dockerignore\n' > .dockerignore
