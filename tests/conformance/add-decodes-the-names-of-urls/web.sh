echo plus > a%2Bb; echo blank > c%20d.txt; echo ef > %65f; echo e > caf%C3%A9
echo last > dir
