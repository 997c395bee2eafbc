/* Cells come from a list of free ones, which is refilled from malloc a page at a time and never gives back: the number
 * of cells in use swings, and the largest of these swings comes early. */
#include "corpus.h"

union cell {
    union cell *next;
    unsigned char bytes[96];
};

enum { PAGE_CELLS = 64 };

static union cell *free_cells;

static void refill(void) {
    union cell *page = malloc(sizeof *page * PAGE_CELLS);
    if (!page) abort();
    for (int at = 0; at < PAGE_CELLS; at++) {
        page[at].next = free_cells;
        free_cells = &page[at];
    }
}

static union cell *cell_take(void) {
    if (!free_cells) refill();
    union cell *cell = free_cells;
    free_cells = cell->next;
    memset(cell, 1, sizeof *cell);
    return cell;
}

static void cell_give(union cell *cell) {
    cell->next = free_cells;
    free_cells = cell;
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    size_t most = (size_t)corpus_log_uniform("cells_max", 500, 50000);
    double swing_s = corpus_part_of_length("swing_s", 0.05, 0.3);
    corpus_announce(argv[0], 0);
    union cell **used = calloc(most, sizeof *used);
    if (!used) return 1;
    size_t count = 0;
    for (;;) {
        corpus_wait(100);
        double phase = (corpus_now_s() - corpus_begun_s) / swing_s * 6.283185307;
        size_t wanted = (size_t)((double)most * (0.55 - 0.44 * cos(phase)));
        while (count > wanted) cell_give(used[--count]);
        while (count < wanted) used[count++] = cell_take();
    }
}
