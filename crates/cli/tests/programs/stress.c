/* Allocates in every way that C has, from several threads, in forked children and in a signal handler, and checks what
 * is in each block. Prints a sum that does not depend on addresses; holds, at the end, what it was told to hold.
 *
 *   stress SEED OPERATIONS THREADS HELD_BLOCKS HELD_BYTES
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 256

struct block { unsigned char *bytes; size_t size; unsigned char with; };
struct worker { uint64_t random; long operations; uint64_t sum; };

static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void die(const char *what) { fprintf(stderr, "stress: %s\n", what); abort(); }

static size_t some_size(uint64_t *random) {
    uint64_t r = next(random);
    switch (r % 16) {
    case 0: return 0;
    case 1: return 32760 + r / 16 % 16;
    case 2: return 1 + r / 16 % 400000;
    case 3: return r / 16 % 64 == 0 ? 3000000 + r / 1024 % 100000 : 70000;
    default: return 1 + r / 16 % (1u << (4 + r % 9));
    }
}

static void check(const struct block *block) {
    size_t step = block->size > 4096 ? 61 : 1;
    for (size_t i = 0; i < block->size; i += step)
        if (block->bytes[i] != block->with) die("a block has what was never written to it");
    if (block->size > 0 && block->bytes[block->size - 1] != block->with) die("the end of a block is lost");
}

static void fill(struct block *block, unsigned char with) { block->with = with; memset(block->bytes, with, block->size); }

static unsigned char *allocate(uint64_t *random, size_t size) {
    void *place = NULL;
    size_t align = (size_t)16 << next(random) % 13;
    size += size == 0; /* of nothing, allocators differ */
    switch (next(random) % 8) {
    case 0: {
        unsigned char *zero = calloc(size / 8 + 1, 8);
        for (size_t i = 0; zero && i < size; i++) if (zero[i]) die("calloc gave what is not zero");
        return zero;
    }
    case 1: if (posix_memalign(&place, align, size)) die("posix_memalign failed"); break;
    case 2: place = aligned_alloc(align, size); break;
    case 3: place = memalign(align, size); break;
    case 4: align = 4096; place = valloc(size); break;
    case 5: align = 8; place = reallocarray(NULL, size / 4 + 1, 4); break;
    default: return malloc(size);
    }
    if ((uintptr_t)place % align) die("a block is not aligned");
    return place;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct block slots[SLOTS] = {{0}};
    for (long i = 0; i < worker->operations; i++) {
        struct block *block = &slots[next(&worker->random) % SLOTS];
        if (block->bytes == NULL) {
            size_t size = some_size(&worker->random);
            block->bytes = allocate(&worker->random, size);
            block->size = size;
            if (block->bytes == NULL) die("no memory");
            if (malloc_usable_size(block->bytes) < size) die("a block is smaller than it was asked to be");
            fill(block, (unsigned char)next(&worker->random));
            worker->sum += size * 31 + block->with;
        } else if (next(&worker->random) % 3) {
            check(block);
            errno = 7;
            free(block->bytes);
            if (errno != 7) die("free changed errno");
            block->bytes = NULL;
        } else {
            size_t size = some_size(&worker->random) + 1, least = size < block->size ? size : block->size;
            check(block);
            unsigned char *bytes = realloc(block->bytes, size);
            if (bytes == NULL) die("no memory");
            block->bytes = bytes;
            block->size = least;
            check(block);
            block->size = size;
            fill(block, (unsigned char)(block->with + 1));
            worker->sum += size;
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].bytes) check(&slots[i]);
        free(slots[i].bytes);
    }
    return NULL;
}

static void on_signal(int number) {
    (void)number;
    int error = errno;
    free(malloc(100));
    errno = error;
}

int main(int count, char **arguments) {
    if (count != 6) return 64;
    uint64_t seed = strtoull(arguments[1], NULL, 10), sum = 0;
    long operations = atol(arguments[2]), threads = atol(arguments[3]);
    pthread_t *ids = calloc((size_t)threads, sizeof *ids);
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    for (long i = 0; i < threads; i++) {
        workers[i] = (struct worker){next(&seed), operations, 0};
        if (pthread_create(&ids[i], NULL, work, &workers[i])) die("no thread");
    }
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct worker own = {(uint64_t)i, operations / 8, 0};
            work(&own);
            _exit((int)(own.sum % 100));
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) die("a child did not end well");
        sum += (uint64_t)WEXITSTATUS(status);
    }
    for (long i = 0; i < threads; i++) { pthread_join(ids[i], NULL); sum += workers[i].sum; }
    free(ids);
    free(workers);
    /* Where nothing of libc is interrupted: malloc need not be safe there, but ours must not make it worse. */
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 100; i++) raise(SIGUSR1);
    long held = atol(arguments[4]);
    size_t bytes = strtoull(arguments[5], NULL, 10);
    for (long i = 0; i < held; i++) {
        static void *volatile last;
        last = malloc(bytes);
        if (last == NULL) die("no memory");
        memset(last, 1, bytes);
    }
    printf("%llu\n", (unsigned long long)sum);
    return (int)(sum % 50);
}
