/* What `plimsoll watch` is shown, by the first argument. Each runs until it is ended, but where it says so. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *kept;

/* Some 10 kB a second, at a line of its own. */
__attribute__((noinline)) static void keep_one(void) {
    void **block = malloc(100);
    memset(block, 1, 100);
    *block = kept;
    kept = block;
}

__attribute__((noinline)) static void churn(void) {
    char *block = malloc(300);
    memset(block, 1, 300);
    free(block);
}

static void step(int leaks) {
    if (leaks) keep_one();
    for (int i = 0; i < 10; i++) churn();
    usleep(10000);
}

static void for_ever(int leaks) {
    for (;;) step(leaks);
}

static void for_seconds(int leaks, int seconds) {
    for (int i = 0; i < seconds * 90; i++) step(leaks);
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "";
    if (!strcmp(how, "leak")) for_ever(1);
    if (!strcmp(how, "healthy")) for_ever(0);
    if (!strcmp(how, "talk")) {
        puts("from the program");
        fflush(stdout);
        for_ever(0);
    }
    if (!strcmp(how, "fork")) for_ever(fork() == 0);
    if (!strcmp(how, "exec")) {
        churn();
        execl(arguments[0], arguments[0], "leak", (char *)0);
    }
    if (!strcmp(how, "daemon")) {
        if (fork() == 0 && setsid() && fork() == 0) for_ever(1);
        return 0;
    }
    /* Frees all that it kept and ends with 7. */
    if (!strcmp(how, "tidy")) {
        for_seconds(1, 9);
        while (kept) {
            void *next = *(void **)kept;
            free(kept);
            kept = next;
        }
        return 7;
    }
    if (!strcmp(how, "short")) for_seconds(1, 1);
    if (!strcmp(how, "deaf")) {
        signal(SIGTERM, SIG_IGN);
        for_ever(0);
    }
    return 3;
}
