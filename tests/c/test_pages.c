#include "net/pages.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "check.h"
#include "core/alloc.h"

static ws_err
put(ws_pages *pages, const char *path, const char *type, const char *body)
{
    return ws_pages_put(pages, (ws_text){path, strlen(path)},
                        (ws_text){type, strlen(type)}, body, strlen(body));
}

static const ws_page *
get(ws_pages *pages, const char *path)
{
    return ws_pages_get(pages, path, strlen(path));
}

static void
a_page_is_found_by_its_whole_path(void)
{
    ws_pages *pages = ws_pages_new();
    CHECK_EQ(put(pages, "/", "text/html", "root"), WS_OK);
    CHECK_EQ(put(pages, "/health", "text/plain", ""), WS_OK);

    const ws_page *page = get(pages, "/");
    CHECK_STR_EQ(page->type, "text/html");
    CHECK_EQ(page->body_size, 4);
    CHECK_MEM_EQ(page->body, "root", 4);
    ws_page_unref(page);
    page = get(pages, "/health");
    CHECK_EQ(page->body_size, 0);
    ws_page_unref(page);
    CHECK(get(pages, "/healt") == NULL);
    CHECK(get(pages, "/health/") == NULL);
    CHECK(get(pages, "") == NULL);
    ws_page_unref(NULL);
    ws_pages_unref(pages);
    ws_pages_unref(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
a_page_that_was_replaced_lives_while_it_is_served(void)
{
    ws_pages *pages = ws_pages_new();
    CHECK_EQ(put(pages, "/a", "text/plain", "first"), WS_OK);
    CHECK_EQ(put(pages, "/b", "text/plain", "other"), WS_OK);
    const ws_page *old = get(pages, "/a");
    CHECK_EQ(put(pages, "/a", "text/css", "second"), WS_OK);
    const ws_page *fresh = get(pages, "/a");

    CHECK_MEM_EQ(old->body, "first", 5);
    CHECK_MEM_EQ(fresh->body, "second", 6);
    CHECK_STR_EQ(fresh->type, "text/css");
    ws_page_unref(old);
    old = get(pages, "/b");
    CHECK_MEM_EQ(old->body, "other", 5);
    ws_page_unref(old);
    CHECK(ws_pages_ref(pages) == pages);
    ws_pages_unref(pages);
    ws_pages_unref(pages);
    CHECK_MEM_EQ(fresh->body, "second", 6);
    ws_page_unref(fresh);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
no_memory_keeps_the_old_page(void)
{
    ws_alloc_fail_at(0);
    CHECK(ws_pages_new() == NULL);
    ws_pages *pages = ws_pages_new();
    CHECK_EQ(put(pages, "/", "text/plain", "old"), WS_OK);
    ws_alloc_fail_at(0);
    CHECK_EQ(put(pages, "/", "text/plain", "new"), WS_ERR_NOMEM);
    const ws_page *page = get(pages, "/");
    CHECK_MEM_EQ(page->body, "old", 3);
    ws_page_unref(page);
    ws_pages_unref(pages);
    CHECK_EQ(ws_alloc_live(), 0);
}

static atomic_bool stop;

static void *
read_on(void *pages)
{
    while (!atomic_load(&stop)) {
        const ws_page *page = get(pages, "/");
        CHECK(page->body_size == 3 || page->body_size == 5);
        CHECK_EQ(page->body[page->body_size - 1], '!');
        ws_page_unref(page);
    }
    return NULL;
}

static void
pages_are_replaced_while_others_read_them(void)
{
    ws_pages *pages = ws_pages_new();
    pthread_t readers[2];
    CHECK_EQ(put(pages, "/", "text/plain", "ab!"), WS_OK);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&readers[i], NULL, read_on, pages), 0);
    }
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(put(pages, "/", "text/plain", i % 2 == 0 ? "abcd!" : "ab!"),
                 WS_OK);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(readers[i], NULL), 0);
    }
    ws_pages_unref(pages);
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(a_page_is_found_by_its_whole_path),
    TEST(a_page_that_was_replaced_lives_while_it_is_served),
    TEST(no_memory_keeps_the_old_page),
    TEST(pages_are_replaced_while_others_read_them),
};

TEST_MAIN(tests)
