export GIT_AUTHOR_DATE='@1000 +0000' GIT_COMMITTER_DATE='@1000 +0000' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main w
cd w
git config user.name n; git config user.email e@x
echo r > README; git add .; git commit -qm one
cd ..
git clone -q --bare w tool.git
rm -rf w
