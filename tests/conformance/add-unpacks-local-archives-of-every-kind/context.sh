mkdir -p t/d
echo in > t/d/in
chmod 700 t/d
ln -s in t/d/link
tar --owner=5 --group=6 -C t -cf plain d
tar --owner=5 --group=6 -C t -czf a.tar.gz d
tar --owner=5 --group=6 -C t -cjf a.tar.bz2 d
tar --owner=5 --group=6 -C t -cJf a.tar.xz d
tar --owner=5 --group=6 -C t --zstd -cf a.tar.zst d
