printf 'tool\n' > tool.txt
touch -d @784111777 tool.txt
mkdir tree; echo in > tree/in; chmod 640 tree/in
touch -d @1000 tree/in tree
tar --owner=5 --group=6 --sort=name -czf tree.tar.gz tree
touch -d @2000 tree.tar.gz
rm -r tree
