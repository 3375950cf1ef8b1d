mkdir -p a/b/c 'sp ace' build/keep vendor/x/y '[odd]' deep/build
for f in a/1.log a/b/2.log a/b/c/3.log 'sp ace/f' build/out build/keep/me vendor/x/y/z vendor/x/README.md '[odd]/f' deep/build/out f.a f.b f.ab '#c' tail; do echo x > "$f"; done
cat > .dockerignore <<'END'
# the first column alone makes a comment
a/*/*.log
!a/b/2.log
sp ace
./build/../build
!build/keep
**/y
\[odd\]
f.?
/deep/../deep/build/**
!**/README.md
tail  
.dockerignore
END
