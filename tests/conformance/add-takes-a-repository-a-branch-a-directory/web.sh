export GIT_AUTHOR_DATE='@1000 +0000' GIT_COMMITTER_DATE='@1000 +0000' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main w
cd w
git config user.name n; git config user.email e@x
mkdir src; echo 1 > src/run.sh; echo r > README; ln -s src/run.sh link
chmod 755 src/run.sh
git add .; git commit -qm one; git tag -am v v1
git checkout -q -b side; echo side > src/run.sh; git commit -qam side
git checkout -q main; echo more > README; git commit -qam two
cd ..
git clone -q --bare w tool.git
git -C tool.git config uploadpack.allowAnySHA1InWant true
rm -rf w
