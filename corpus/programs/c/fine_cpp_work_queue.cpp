// A deque of jobs that is worked off in bursts, and strings that are built for each.
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "corpus.h"

namespace {

struct Job {
    uint64_t number;
    std::unique_ptr<std::string> text;
};

class Queue {
public:
    void push(uint64_t number, size_t bytes) {
        jobs_.push_back({number, std::make_unique<std::string>(bytes, 'j')});
    }
    size_t work_off() {
        std::unordered_map<uint64_t, size_t> lengths;
        while (!jobs_.empty()) {
            lengths[jobs_.front().number % 50] += jobs_.front().text->size();
            jobs_.pop_front();
        }
        return lengths.size();
    }

private:
    std::deque<Job> jobs_;
};

} // namespace

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double per_s = corpus_log_uniform("jobs_per_s", 30, 3000);
    double every_s = corpus_part_of_length("worked_off_every_s", 0.03, 0.25);
    size_t bytes = static_cast<size_t>(corpus_log_uniform("text_bytes", 20, 2000));
    corpus_announce(argv[0], 0);
    Queue queue;
    volatile size_t worked = 0;
    double next_s = corpus_now_s() + every_s;
    for (uint64_t number = 0;; number++) {
        corpus_wait(per_s);
        queue.push(number, 1 + corpus_below(bytes));
        if (corpus_now_s() >= next_s) {
            worked += queue.work_off();
            next_s += every_s * (0.7 + 0.6 * corpus_part());
        }
    }
}
