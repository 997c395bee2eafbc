// A document owns its shapes, and a redraw adds them again without removing what is there.
#include <memory>
#include <string>
#include <vector>

#include "corpus.h"

namespace {

class Shape {
public:
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

class Polygon : public Shape {
public:
    Polygon(std::string name, size_t corners) : name_(std::move(name)), corners_(corners, 1.5) {} // leaks: Polygon::Polygon | Document::redraw
    double area() const override { return static_cast<double>(name_.size()) + corners_.back(); }

private:
    std::string name_;
    std::vector<double> corners_;
};

class Document {
public:
    void redraw(size_t corners) {
        auto shape = std::make_unique<Polygon>("polygon " + std::to_string(shapes_.size()), corners); // leaks: Document::redraw
        area_ += shape->area();
        shapes_.push_back(std::move(shape)); // leaks: Document::redraw
    }
    double area() const { return area_; }

private:
    std::vector<std::unique_ptr<Shape>> shapes_;
    double area_ = 0;
};

} // namespace

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double rate = corpus_leak_bytes_per_s();
    size_t corners = corpus_object_bytes(rate) / 8 + 1;
    corpus_announce(argv[0], 1);
    Document document;
    for (;;) {
        corpus_wait(rate / (static_cast<double>(corners) * 8 + 90));
        document.redraw(corners);
        if (document.area() < 0) return 1;
    }
}
