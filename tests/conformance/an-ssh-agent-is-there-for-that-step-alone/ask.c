/* How many keys the agent at SSH_AUTH_SOCK holds, and the first one's comment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static unsigned number(const unsigned char *at) { return at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }

int main(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("SSH_AUTH_SOCK");
    if (!path) return puts("no SSH_AUTH_SOCK"), 1;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int agent = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(agent, (struct sockaddr *)&address, sizeof address)) return puts("refused"), 1;
    /* SSH_AGENTC_REQUEST_IDENTITIES; the answer is a length, its kind, a number, then pairs of texts. */
    if (write(agent, "\0\0\0\1\v", 5) != 5) return 1;
    unsigned char answer[4096];
    size_t got = 0;
    while (got < 4 || got < 4 + number(answer)) {
        ssize_t more = read(agent, answer + got, sizeof answer - got);
        if (more <= 0) return 1;
        got += more;
    }
    unsigned char *comment = answer + 9;
    comment += 4 + number(comment);
    printf("%u keys, %.*s\n", number(answer + 5), (int)number(comment), comment + 4);
    return 0;
}
