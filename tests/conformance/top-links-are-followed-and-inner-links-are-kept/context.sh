mkdir -p real/inner
echo t > real/inner/t
ln -s t real/inner/link
ln -s /nowhere real/inner/dangling
ln -s real/inner top
ln -s real/inner/t topfile
