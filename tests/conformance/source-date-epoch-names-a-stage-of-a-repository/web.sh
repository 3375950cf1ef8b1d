export GIT_AUTHOR_DATE='@77777777 +0000' GIT_COMMITTER_DATE='@123456789 +0530' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main w
cd w
git config user.name n; git config user.email e@x
echo one > f; git add .; git commit -qm one; git tag -am v v1
export GIT_COMMITTER_DATE='@200000000 +0000'
echo two > f; git commit -qam two
cd ..
git clone -q --bare w tool.git
git -C tool.git config uploadpack.allowAnySHA1InWant true
rm -rf w
