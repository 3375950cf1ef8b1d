mkdir -p a/b docs/deep node_modules/m .git
echo 1 > a/b/keep.log
echo 2 > a/b/drop.log
echo 3 > a/x.tmp
echo 4 > x.tmp
echo 5 > docs/README.md
echo 6 > docs/deep/other.md
echo 7 > node_modules/m/i.js
echo 8 > '#odd'
echo 9 > .git/config
echo 10 > root-only
mkdir sub; echo 11 > sub/root-only
cat > .dockerignore <<'END'
# a comment
 #odd
*.tmp
**/*.log
!a/b/keep.log
docs/
!docs/README.md
**/node_modules
/root-only
.git
.dockerignore

END
