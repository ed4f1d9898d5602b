#include "merge/glob.h"

#include <stdint.h>
#include <string.h>

#include <glib.h>

enum token_kind {
	TOKEN_BYTE,
	TOKEN_ANY,  /* ? */
	TOKEN_SET,  /* [...] */
	TOKEN_STAR, /* * */
	TOKEN_DEEP, /* ** beside other text, or last: any bytes */
	TOKEN_DIRS, /* two stars and '/': nothing, or bytes up to a '/' */
};

struct set {
	uint32_t bits[8];
};

struct token {
	uint8_t kind;
	uint8_t byte;
	uint16_t set; /* index */
};

struct glob {
	GArray *tokens; /* of struct token, owned */
	GArray *sets;	/* of struct set, owned */
	char *literal;	/* owned, or NULL */
};

static void set_add(struct set *s, unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to; c++)
		s->bits[c / 32] |= UINT32_C(1) << c % 32;
}

static bool set_has(const struct set *s, unsigned c)
{
	return s->bits[c / 32] >> c % 32 & 1;
}

static const struct {
	const char *name;
	GAsciiType mask;
} classes[] = {
	{ "alnum", G_ASCII_ALNUM },
	{ "alpha", G_ASCII_ALPHA },
	{ "cntrl", G_ASCII_CNTRL },
	{ "digit", G_ASCII_DIGIT },
	{ "graph", G_ASCII_GRAPH },
	{ "lower", G_ASCII_LOWER },
	{ "print", G_ASCII_PRINT },
	{ "punct", G_ASCII_PUNCT },
	{ "space", G_ASCII_SPACE },
	{ "upper", G_ASCII_UPPER },
	{ "xdigit", G_ASCII_XDIGIT },
};

/* P is just after "[:". The end of ":]", or NULL when it names no class. */
static const char *set_add_class(struct set *s, const char *p)
{
	for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
		size_t len = strlen(classes[i].name);

		if (strncmp(p, classes[i].name, len) != 0 ||
			strncmp(p + len, ":]", 2) != 0)
			continue;
		for (unsigned c = 0; c < 128; c++)
			if (g_ascii_table[c] & classes[i].mask)
				set_add(s, c, c);
		return p + len + 2;
	}
	if (strncmp(p, "blank:]", 7) != 0)
		return NULL;
	set_add(s, ' ', ' ');
	set_add(s, '\t', '\t');
	return p + 7;
}

/* One member or range of a class at P; what follows it. */
static const char *set_add_member(struct set *s, const char *p)
{
	unsigned char from = *p, to = *p;

	if (p[0] == '[' && p[1] == ':') {
		const char *end = set_add_class(s, p + 2);

		if (end)
			return end;
	}
	p++;
	if (p[0] == '-' && p[1] && p[1] != ']' && p[1] != '/') {
		to = p[1];
		p += 2;
	}
	set_add(s, from, to);
	return p;
}

/* P is just after '['. Just after the closing ']', or NULL without one. */
static const char *parse_set(struct set *s, const char *p)
{
	bool negated = *p == '!' || *p == '^';
	const char *first = p += negated;

	while (*p && *p != '/' && (*p != ']' || p == first))
		p = set_add_member(s, p);
	if (*p != ']')
		return NULL;
	for (size_t i = 0; negated && i < G_N_ELEMENTS(s->bits); i++)
		s->bits[i] = ~s->bits[i];
	s->bits['/' / 32] &= ~(UINT32_C(1) << '/' % 32);
	return p + 1;
}

static void add_token(struct glob *g, enum token_kind kind, unsigned char byte)
{
	struct token t = { .kind = kind, .byte = byte };

	if (kind == TOKEN_SET)
		t.set = g->sets->len - 1;
	g_array_append_val(g->tokens, t);
}

/* A run of stars at P; what follows it. */
static const char *add_stars(struct glob *g, const char *p, bool first)
{
	size_t count = strspn(p, "*");

	p += count;
	if (count == 1) {
		add_token(g, TOKEN_STAR, 0);
	} else if (first && *p == '/') {
		add_token(g, TOKEN_DIRS, 0);
		p++;
	} else {
		add_token(g, TOKEN_DEEP, 0);
	}
	return p;
}

static const char *add_set(struct glob *g, const char *p)
{
	struct set s = { 0 };
	const char *end = parse_set(&s, p + 1);

	if (!end || g->sets->len == UINT16_MAX) {
		add_token(g, TOKEN_BYTE, '[');
		return p + 1;
	}
	g_array_append_val(g->sets, s);
	add_token(g, TOKEN_SET, 0);
	return end;
}

static char *literal_of(const struct glob *g)
{
	GString *s = g_string_new(NULL);

	for (unsigned i = 0; i < g->tokens->len; i++) {
		struct token t = g_array_index(g->tokens, struct token, i);

		if (t.kind != TOKEN_BYTE) {
			g_string_free(s, TRUE);
			return NULL;
		}
		g_string_append_c(s, t.byte);
	}
	return g_string_free(s, FALSE);
}

struct glob *glob_new(const char *pattern)
{
	struct glob *g = g_new0(struct glob, 1);
	const char *p = pattern;

	g->tokens = g_array_new(FALSE, FALSE, sizeof(struct token));
	g->sets = g_array_new(FALSE, FALSE, sizeof(struct set));
	while (*p) {
		if (*p == '*') {
			p = add_stars(g, p, p == pattern || p[-1] == '/');
		} else if (*p == '[') {
			p = add_set(g, p);
		} else if (*p == '?') {
			add_token(g, TOKEN_ANY, 0);
			p++;
		} else {
			p += p[0] == '\\' && p[1];
			add_token(g, TOKEN_BYTE, *p++);
		}
	}
	g->literal = literal_of(g);
	return g;
}

void glob_free(struct glob *g)
{
	if (!g)
		return;
	g_array_free(g->tokens, TRUE);
	g_array_free(g->sets, TRUE);
	g_free(g->literal);
	g_free(g);
}

const char *glob_literal(const struct glob *g)
{
	return g->literal;
}

static bool accepts(const struct glob *g, struct token t, unsigned char c)
{
	if (t.kind == TOKEN_BYTE)
		return t.byte == c;
	if (t.kind == TOKEN_ANY)
		return c != '/';
	return t.kind == TOKEN_SET &&
		set_has(&g_array_index(g->sets, struct set, t.set), c);
}

/*
 * Where to go on after a mismatch: token P (0: nowhere) with the wildcard
 * before it swallowing up to byte T. Only the last wildcard of each sort is
 * worth another try: a later one could already take whatever an earlier one
 * would leave it. A star cannot cross '/', so a later `**` makes it final.
 */
struct retry {
	size_t p, t;
	bool dirs; /* T must be just after a '/' */
};

static bool retry_star(struct retry *star, const char *text, size_t len)
{
	if (!star->p || star->t >= len || text[star->t] == '/')
		return false;
	star->t++;
	return true;
}

static bool retry_deep(struct retry *deep, const char *text, size_t len)
{
	const char *slash;

	if (!deep->p || deep->t >= len)
		return false;
	if (!deep->dirs) {
		deep->t++;
		return true;
	}
	slash = memchr(text + deep->t, '/', len - deep->t);
	if (!slash)
		return false;
	deep->t = slash - text + 1;
	return true;
}

bool glob_match(const struct glob *g, const char *text, size_t len)
{
	const struct token *tokens = (const struct token *)g->tokens->data;
	struct retry star = { 0 }, deep = { 0 };
	size_t p = 0, t = 0;

	while (p < g->tokens->len || t < len) {
		enum token_kind kind = p < g->tokens->len ? tokens[p].kind
							   : TOKEN_BYTE;

		if (kind == TOKEN_STAR) {
			star = (struct retry){ .p = ++p, .t = t };
		} else if (kind == TOKEN_DEEP || kind == TOKEN_DIRS) {
			deep = (struct retry){ .p = ++p,
				.t = t,
				.dirs = kind == TOKEN_DIRS };
			star.p = 0;
		} else if (p < g->tokens->len && t < len &&
			accepts(g, tokens[p], text[t])) {
			p++;
			t++;
		} else if (retry_star(&star, text, len)) {
			p = star.p;
			t = star.t;
		} else if (retry_deep(&deep, text, len)) {
			p = deep.p;
			t = deep.t;
			star.p = 0;
		} else {
			return false;
		}
	}
	return true;
}
