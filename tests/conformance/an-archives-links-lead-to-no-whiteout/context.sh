echo x > x
ln -s .wh.etc gone; ln -s .wh..wh..opq all; ln -s /below/.wh.x/../.wh.y deep
tar --owner=3 --group=4 -cf links.tar gone all deep
for name in gone/f all/f deep/f/g; do tar -P --owner=3 --group=4 --transform="s,^x\$,$name,S" -rf links.tar x; done
rm x gone all deep
