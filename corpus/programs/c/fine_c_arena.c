/* Each request allocates from an arena that is freed as a whole when it is answered; a few are under way. */
#include "corpus.h"

enum { UNDER_WAY = 16 };

struct block {
    struct block *next;
    size_t used, room;
    unsigned char bytes[];
};

struct arena {
    struct block *blocks;
};

static void *arena_alloc(struct arena *arena, size_t bytes) {
    struct block *block = arena->blocks;
    if (!block || block->room - block->used < bytes) {
        size_t room = bytes > 8192 ? bytes : 8192;
        block = malloc(sizeof *block + room);
        if (!block) abort();
        block->next = arena->blocks;
        block->used = 0;
        block->room = room;
        arena->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += bytes;
    return memory;
}

static void arena_free(struct arena *arena) {
    while (arena->blocks) {
        struct block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double requests_per_s = corpus_log_uniform("requests_per_s", 20, 2000);
    size_t parts = (size_t)corpus_log_uniform("parts", 5, 300);
    corpus_announce(argv[0], 0);
    struct arena arenas[UNDER_WAY] = {{0}};
    for (uint64_t number = 0;; number++) {
        corpus_wait(requests_per_s);
        struct arena *arena = &arenas[number % UNDER_WAY];
        arena_free(arena);
        for (size_t part = 0; part < parts; part++) {
            size_t bytes = 8 + corpus_below(120);
            memset(arena_alloc(arena, bytes), (int)part, bytes);
        }
    }
}
