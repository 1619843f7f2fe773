#include "pages.h"

#include <stdatomic.h>
#include <string.h>

#include "core/alloc.h"
#include "core/lock.h"

typedef struct entry {
    ws_page page; // the first field: what ws_pages_get hands out
    struct entry *next;
    atomic_uint refs;
    const char *path;
    size_t path_size;
    uint8_t bytes[]; // body, then type and path, each with a NUL
} entry;

struct ws_pages {
    atomic_uint refs;
    ws_lock lock; // guards the list
    entry *first;
};

ws_pages *
ws_pages_new(void)
{
    ws_pages *pages = ws_calloc(1, sizeof *pages);
    if (pages != NULL && ws_lock_init(&pages->lock) != WS_OK) {
        ws_free(pages);
        return NULL;
    }
    if (pages != NULL) {
        atomic_init(&pages->refs, 1);
    }
    return pages;
}

ws_pages *
ws_pages_ref(ws_pages *pages)
{
    (void)atomic_fetch_add(&pages->refs, 1);
    return pages;
}

void
ws_pages_unref(ws_pages *pages)
{
    if (pages == NULL || atomic_fetch_sub(&pages->refs, 1) > 1) {
        return;
    }
    while (pages->first != NULL) {
        entry *page = pages->first;
        pages->first = page->next;
        ws_page_unref(&page->page);
    }
    ws_lock_destroy(&pages->lock);
    ws_free(pages);
}

static char *
append(char *at, const char *text, size_t size)
{
    memcpy(at, text, size);
    at[size] = '\0';
    return at + size + 1;
}

static entry *
entry_new(ws_text path, ws_text type, const void *body, size_t size)
{
    entry *page = ws_malloc(sizeof *page + size + type.size + path.size + 2);
    if (page == NULL) {
        return NULL;
    }
    *page = (entry){.path_size = path.size};
    atomic_init(&page->refs, 1);
    if (size > 0) {
        memcpy(page->bytes, body, size);
    }
    char *at = (char *)page->bytes + size;
    page->page = (ws_page){at, page->bytes, size};
    at = append(at, type.data, type.size);
    page->path = at;
    (void)append(at, path.data, path.size);
    return page;
}

/* The link to the page at `path`, or to the NULL at the end. */
static entry **
find_locked(ws_pages *pages, const char *path, size_t path_size)
{
    entry **link = &pages->first;
    while (*link != NULL && ((*link)->path_size != path_size ||
                             memcmp((*link)->path, path, path_size) != 0)) {
        link = &(*link)->next;
    }
    return link;
}

ws_err
ws_pages_put(ws_pages *pages, ws_text path, ws_text type, const void *body,
             size_t size)
{
    entry *page = entry_new(path, type, body, size);
    if (page == NULL) {
        return WS_ERR_NOMEM;
    }
    ws_lock_acquire(&pages->lock);
    entry **link = find_locked(pages, path.data, path.size);
    entry *old = *link;
    page->next = old == NULL ? NULL : old->next;
    *link = page;
    ws_lock_release(&pages->lock);
    if (old != NULL) {
        ws_page_unref(&old->page);
    }
    return WS_OK;
}

const ws_page *
ws_pages_get(ws_pages *pages, const char *path, size_t path_size)
{
    ws_lock_acquire(&pages->lock);
    entry *page = *find_locked(pages, path, path_size);
    if (page != NULL) {
        (void)atomic_fetch_add(&page->refs, 1);
    }
    ws_lock_release(&pages->lock);
    return page == NULL ? NULL : &page->page;
}

void
ws_page_unref(const ws_page *page)
{
    entry *owner = (entry *)(uintptr_t)page;
    if (owner != NULL && atomic_fetch_sub(&owner->refs, 1) == 1) {
        ws_free(owner);
    }
}
