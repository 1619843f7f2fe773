#include "http_request.h"

#include <assert.h>

void
ws_http_init(ws_http_request *req)
{
    *req = (ws_http_request){.base = NULL};
}

static bool
fail(ws_http_request *req, uint16_t status, const char *text)
{
    req->status = status;
    req->error = text;
    return false;
}

static ws_slice
slice(const ws_http_request *req, ws_http_span span)
{
    assert(req->base != NULL);
    return (ws_slice){req->base + span.at, span.size};
}

/* The span of a slice of the request's bytes. */
static ws_http_span
span(const ws_http_request *req, ws_slice s)
{
    return (ws_http_span){(uint16_t)(s.data - req->base), (uint16_t)s.size};
}

/* Cuts off and returns what stands before `c`, which is dropped; all of it
   when there is none. */
static ws_slice
cut(ws_slice *rest, char c)
{
    size_t at = ws_slice_index(*rest, c);
    ws_slice head = {rest->data, at};
    *rest = ws_slice_from(*rest, at < rest->size ? at + 1 : at);
    return head;
}

/* "HTTP/1.1" and "HTTP/1.0", and no other spelling (RFC 9112 2.3). */
static bool
read_version(ws_http_request *req, ws_slice text)
{
    static const char form[] = "HTTP/";
    size_t name = sizeof form - 1;

    if (text.size != name + 3 || memcmp(text.data, form, name) != 0 ||
        !ws_slice_is_digit(text.data[name]) || text.data[name + 1] != '.' ||
        !ws_slice_is_digit(text.data[name + 2])) {
        return fail(req, 400, "the request line is not one of HTTP/1.1");
    }
    if (text.data[name] != '1' || text.data[name + 2] > '1') {
        return fail(req, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    }
    req->minor_version = (uint8_t)(text.data[name + 2] - '0');
    return true;
}

/* Takes "http://host" off a URL. Nobody logs in through one, so an '@' is
   refused; whether the host is one is for the handshake to check. */
static bool
read_authority(ws_http_request *req, ws_slice *target)
{
    ws_slice rest = *target;
    ws_slice scheme = cut(&rest, ':');
    size_t end = 2;

    if ((!ws_slice_equal_nocase(scheme, ws_slice_of("http")) &&
         !ws_slice_equal_nocase(scheme, ws_slice_of("https"))) ||
        rest.size < 2 || rest.data[0] != '/' || rest.data[1] != '/') {
        return fail(req, 400, "the target is not a path");
    }
    while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?') {
        end++;
    }
    ws_slice authority = {rest.data + 2, end - 2};
    if (authority.size == 0 ||
        ws_slice_index(authority, '@') < authority.size) {
        return fail(req, 400, "the target is a URL without a plain host");
    }
    req->authority = span(req, authority);
    *target = ws_slice_from(rest, end);
    return true;
}

static bool
read_target(ws_http_request *req, ws_slice target)
{
    for (size_t i = 0; i < target.size; i++) {
        char c = target.data[i];
        if (c <= ' ' || c > '~' || c == '#') {
            return fail(req, 400, "a character that no target may have");
        }
    }
    if (target.size == 0) {
        return fail(req, 400, "the request line is not one of HTTP/1.1");
    }
    if (target.data[0] != '/' && !read_authority(req, &target)) {
        return false;
    }
    req->has_query = ws_slice_index(target, '?') < target.size;
    req->path = span(req, cut(&target, '?'));
    req->query = span(req, target);
    return true;
}

/* method SP target SP version, each blank exactly one. */
static bool
read_request_line(ws_http_request *req, ws_slice line)
{
    ws_slice method = cut(&line, ' ');
    ws_slice target = cut(&line, ' ');

    if (!ws_slice_is_token(method)) {
        return fail(req, 400, "the method is not a token");
    }
    req->method = span(req, method);
    return read_version(req, line) && read_target(req, target);
}

static bool
read_header(ws_http_request *req, ws_slice line)
{
    if (line.data[0] == ' ' || line.data[0] == '\t') {
        return fail(req, 400, "a folded header line");
    }
    if (ws_slice_index(line, ':') == line.size) {
        return fail(req, 400, "a header line without a colon");
    }
    ws_slice name = cut(&line, ':');
    if (!ws_slice_is_token(name)) {
        return fail(req, 400, "a header name that is not a token");
    }
    if (req->header_count == WS_HTTP_HEADERS_MAX) {
        return fail(req, 431, "too many header lines");
    }
    req->headers[req->header_count++] = (ws_http_header){
        span(req, name),
        span(req, ws_slice_trim(line)),
    };
    return true;
}

/* A whole line, without its CRLF. False: the head is over or broken. */
static bool
read_line(ws_http_request *req, ws_slice line)
{
    bool first = req->line_at == 0;

    req->line_at = req->scanned;
    if (first) {
        return read_request_line(req, line);
    }
    if (line.size == 0) {
        req->head_size = req->scanned;
        return false;
    }
    return read_header(req, line);
}

/* Looks at one more byte. False: the head is over or broken. */
static bool
read_byte(ws_http_request *req)
{
    uint16_t at = req->scanned++;
    unsigned char c = (unsigned char)req->base[at];
    bool after_cr = at > req->line_at && req->base[at - 1] == '\r';

    if (after_cr != (c == '\n')) {
        return fail(req, 400, "a line that does not end with CR LF");
    }
    if (c == '\n') {
        ws_slice line = {req->base + req->line_at,
                         (size_t)(at - 1 - req->line_at)};
        return read_line(req, line);
    }
    if ((c < ' ' && c != '\t' && c != '\r') || c == 0x7F) {
        return fail(req, 400, "a control character");
    }
    return true;
}

static bool
goes_on(const ws_http_request *req)
{
    return req->status == 0 && req->head_size == 0;
}

ws_http_result
ws_http_parse(ws_http_request *req, const char *data, size_t size)
{
    size_t end = size < WS_HTTP_HEAD_MAX ? size : WS_HTTP_HEAD_MAX;

    assert(size >= req->scanned);
    req->base = data;
    while (goes_on(req) && req->scanned < end) {
        (void)read_byte(req);
    }
    if (goes_on(req) && req->scanned == WS_HTTP_HEAD_MAX) {
        bool in_first_line = req->line_at == 0;
        (void)fail(req, in_first_line ? 414 : 431,
                   in_first_line ? "the request line is too long"
                                 : "the header lines are too long");
    }
    if (goes_on(req)) {
        return WS_HTTP_INCOMPLETE;
    }
    return req->status == 0 ? WS_HTTP_COMPLETE : WS_HTTP_ERROR;
}

void
ws_http_moved(ws_http_request *req, const char *data)
{
    req->base = data;
}

ws_slice
ws_http_method(const ws_http_request *req)
{
    return slice(req, req->method);
}

ws_slice
ws_http_path(const ws_http_request *req)
{
    // Only a URL's path can be empty, and then means the root.
    return req->path.size > 0 ? slice(req, req->path) : ws_slice_of("/");
}

ws_slice
ws_http_query(const ws_http_request *req)
{
    return slice(req, req->query);
}

ws_slice
ws_http_host(const ws_http_request *req)
{
    if (req->authority.size > 0) {
        return slice(req, req->authority);
    }
    ws_slice host;
    (void)ws_http_find(req, "Host", 0, &host);
    return host;
}

ws_slice
ws_http_name_at(const ws_http_request *req, size_t i)
{
    assert(i < req->header_count);
    return slice(req, req->headers[i].name);
}

ws_slice
ws_http_value_at(const ws_http_request *req, size_t i)
{
    assert(i < req->header_count);
    return slice(req, req->headers[i].value);
}

bool
ws_http_find(const ws_http_request *req, const char *name, size_t nth,
             ws_slice *value)
{
    ws_slice wanted = ws_slice_of(name);
    ws_slice found = {NULL, 0};

    for (size_t i = 0; i < req->header_count && found.data == NULL; i++) {
        if (ws_slice_equal_nocase(ws_http_name_at(req, i), wanted) &&
            nth-- == 0) {
            found = ws_http_value_at(req, i);
        }
    }
    if (value != NULL) {
        *value = found;
    }
    return found.data != NULL;
}

size_t
ws_http_count(const ws_http_request *req, const char *name)
{
    size_t count = 0;
    while (ws_http_find(req, name, count, NULL)) {
        count++;
    }
    return count;
}

ws_http_list
ws_http_list_of(const ws_http_request *req, const char *name)
{
    return (ws_http_list){.req = req, .name = name};
}

/* Goes to the next line when this one is used up; false: there is none. */
static bool
has_more(ws_http_list *list)
{
    while (list->rest.size == 0) {
        if (!ws_http_find(list->req, list->name, list->nth, &list->rest)) {
            return false;
        }
        list->nth++;
    }
    return true;
}

bool
ws_http_list_next(ws_http_list *list, ws_slice *item)
{
    *item = (ws_slice){NULL, 0};
    while (item->size == 0 && has_more(list)) {
        *item = ws_slice_trim(cut(&list->rest, ','));
    }
    return item->size > 0;
}

bool
ws_http_has_item(const ws_http_request *req, const char *name,
                 const char *item)
{
    ws_http_list list = ws_http_list_of(req, name);
    ws_slice wanted = ws_slice_of(item);

    for (ws_slice each; ws_http_list_next(&list, &each);) {
        if (ws_slice_equal_nocase(each, wanted)) {
            return true;
        }
    }
    return false;
}

bool
ws_http_header_valid(ws_slice name, ws_slice value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7F) {
            return false;
        }
    }
    return ws_slice_is_token(name) && ws_slice_trim(value).size == value.size;
}
