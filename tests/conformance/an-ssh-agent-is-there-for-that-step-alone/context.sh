cc -static -O1 -o ask "$2/ask.c"
