cat > touch.c <<'END'
#include <fcntl.h>
#include <sys/stat.h>
int main(int count, char **names) {
    struct timespec times[2] = {{1000, 1}, {2000, 123456789}};
    for (int i = 1; i < count; i++)
        if (utimensat(AT_FDCWD, names[i], times, AT_SYMLINK_NOFOLLOW)) return 1;
    return 0;
}
END
cc -static -O1 -o touch touch.c
