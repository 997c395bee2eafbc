/* Allocates a block of 64 KiB every millisecond and keeps it, and says so after each: how much it holds.
 * Never ends by itself before a minute is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) static void *hold_one(void) {
    void *block = malloc(64 << 10);
    memset(block, 1, 64 << 10);
    return block;
}

int main(void) {
    for (long i = 1; i < 60000; i++) {
        static void *volatile last;
        last = hold_one();
        printf("%ld\n", i * (64l << 10));
        fflush(stdout);
        usleep(1000);
    }
    return 0;
}
