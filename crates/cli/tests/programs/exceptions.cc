// Throws through frames that hold memory, from several threads, and allocates in all the ways that C++ has.
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct alignas(64) Line {
    char bytes[128];
};

static int deep(int depth) {
    std::string held(depth * 10, 'x');
    if (depth == 0) throw std::runtime_error("at the bottom " + held);
    return deep(depth - 1) + held.size();
}

static long work() {
    long caught = 0;
    for (int i = 0; i < 400; i++) {
        try {
            deep(i % 30);
        } catch (std::exception &error) {
            caught += std::string(error.what()).size();
        }
        std::vector<std::string> texts;
        for (int k = 0; k < 20; k++) texts.push_back(std::string(k * 7, 'a'));
        auto line = std::make_unique<Line>();
        auto large = std::make_unique<char[]>(100000 + i * 10);
        auto nothing = std::unique_ptr<Line[]>(new (std::nothrow) Line[3]);
        large[99] = line->bytes[0] = nothing[0].bytes[0] = 1;
        std::vector<char> growing;
        for (int k = 0; k < 20000; k++) growing.push_back(k);
        caught += growing.size();
    }
    return caught;
}

int main() {
    std::vector<std::thread> threads;
    std::vector<long> sums(4);
    for (auto &sum : sums) threads.emplace_back([&sum] { sum = work(); });
    for (auto &thread : threads) thread.join();
    std::map<int, std::string> map;
    for (int i = 0; i < 5000; i++) map[i * 7919 % 10007] = std::to_string(i);
    int found = 0;
    for (auto &[key, text] : map) found += std::regex_search(text, std::regex("1.*9")) && key;
    bool refused = false;
    try {
        volatile size_t most = ~size_t(0) / 2;
        char *volatile kept = new char[most];
        delete[] kept;
    } catch (std::bad_alloc &) {
        refused = true;
    }
    std::cout << sums[0] << ' ' << sums[3] << ' ' << found << ' ' << map.size() << ' ' << refused << std::endl;
    return 3;
}
