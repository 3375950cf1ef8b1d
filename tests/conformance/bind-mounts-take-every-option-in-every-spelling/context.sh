mkdir -p src/below/it 'a,b'
echo f > src/f
echo comma > 'a,b/f'
