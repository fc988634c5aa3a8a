/* SPDX-License-Identifier: MIT */
#include "plugin/base/heard.h"

#define MS_MAX ((uint64_t)1 << 31)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_lead(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

uint64_t heard_chars(struct str s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += is_lead(s.p[i]);
    return n;
}

/* The character that begins at byte `at`; U+FFFD for what is none. */
static uint32_t char_at(struct str s, size_t at)
{
    unsigned char lead = (unsigned char)s.p[at];
    unsigned more = lead < 0xc0 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    uint32_t c = lead < 0x80 ? lead : lead & (0x3fu >> more);

    if (s.n - at <= more)
        return 0xfffd;
    for (unsigned i = 1; i <= more; i++)
        c = c << 6 | ((unsigned char)s.p[at + i] & 0x3fu);
    return c;
}

/* Thai, Lao, Burmese, Khmer, Chinese, Japanese: words follow one another without a blank. */
static bool is_unspaced(uint32_t c)
{
    return (c >= 0x0e00 && c <= 0x0eff) || (c >= 0x1000 && c <= 0x109f) ||
           (c >= 0x1780 && c <= 0x17ff) || (c >= 0x2e80 && c <= 0x9fff) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0xff00 && c <= 0xffef) ||
           (c >= 0x20000 && c <= 0x3ffff);
}

/* May the text be cut before byte `at`, 0 < at < n, where a character begins? */
static bool is_word_end(struct str s, size_t at)
{
    size_t before = at - 1;

    while (before > 0 && !is_lead(s.p[before]))
        before--;
    return is_blank(s.p[at]) || is_blank(s.p[before]) || is_unspaced(char_at(s, at)) ||
           is_unspaced(char_at(s, before));
}

struct str heard_text(struct str text, uint64_t heard_ms, uint64_t audio_ms)
{
    uint64_t chars = heard_chars(text), keep;
    size_t at = 0;

    if (heard_ms > MS_MAX)
        heard_ms = MS_MAX;
    if (audio_ms > MS_MAX)
        audio_ms = MS_MAX;
    if (audio_ms == 0)
        keep = heard_ms * HEARD_CHARS_PER_S / 1000;
    else
        keep = heard_ms >= audio_ms ? chars : chars * heard_ms / audio_ms;
    if (keep >= chars)
        return text;
    for (; keep > 0; keep--)
        for (at++; at < text.n && !is_lead(text.p[at]); at++) {
        }
    while (at > 0 && (!is_lead(text.p[at]) || !is_word_end(text, at)))
        at--;
    text = str_head(text, at);
    while (text.n > 0 && is_blank(text.p[text.n - 1]))
        text.n--;
    return text;
}
