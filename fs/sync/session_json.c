/*
 * session.json: what a session is, for every process that looks at it. One
 * object, "version" 1; written by temporary name, fsync and rename, read with
 * a size limit. The key of the sandbox is never in it.
 */
#include "fs/sync/internal.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "transport/json.h"

enum { SESSION_VERSION = 1, SESSION_FILE_LIMIT = 4 << 20 };

static const char *const state_names[] = {
	[SESSION_PREPARING] = "preparing",
	[SESSION_PREPARED] = "prepared",
	[SESSION_MOUNTED] = "mounted",
	[SESSION_OFFLINE] = "offline",
	[SESSION_RESTORING] = "restoring",
	[SESSION_RESTORED] = "restored",
	[SESSION_FAILED] = "failed",
	[SESSION_CRASHED] = "crashed",
};

const char *session_state_name(enum session_state st)
{
	return state_names[st];
}

struct session_options *session_options_new(void)
{
	struct session_options *o = g_new0(struct session_options, 1);

	o->exclude = g_new0(char *, 1);
	o->preserve = g_new0(char *, 1);
	o->preserve_absent = g_new0(char *, 1);
	o->assets = g_new0(char *, 1);
	o->assets_follow = g_new0(char *, 1);
	o->runtime_dir = g_strdup(".sandmount");
	o->on_conflict = g_strdup("both");
	o->trash_days = 14;
	return o;
}

void session_options_free(struct session_options *o)
{
	if (!o)
		return;
	g_free(o->local);
	g_strfreev(o->exclude);
	g_strfreev(o->preserve);
	g_strfreev(o->preserve_absent);
	g_strfreev(o->assets);
	g_strfreev(o->assets_follow);
	g_free(o->runtime_dir);
	g_free(o->on_conflict);
	g_free(o);
}

/* Each list of strings of the options, by its key. */
static const struct list_field {
	const char *key;
	size_t offset;
} list_fields[] = {
	{ "exclude", offsetof(struct session_options, exclude) },
	{ "preserve", offsetof(struct session_options, preserve) },
	{ "preserveAbsent", offsetof(struct session_options, preserve_absent) },
	{ "assets", offsetof(struct session_options, assets) },
	{ "assetsFollow", offsetof(struct session_options, assets_follow) },
};

static const struct bool_field {
	const char *key;
	size_t offset;
} bool_fields[] = {
	{ "gitignore", offsetof(struct session_options, gitignore) },
	{ "readOnly", offsetof(struct session_options, read_only) },
	{ "fsyncRemote", offsetof(struct session_options, fsync_remote) },
	{ "noRestore", offsetof(struct session_options, no_restore) },
};

/* Paths and patterns are bytes: kept as base64, so that any survive. */
static void put_bytes(struct json *arr, const char *s)
{
	g_autofree char *text = g_base64_encode((const guchar *)s, strlen(s));

	json_append_string(arr, text);
}

static char *get_bytes(const struct json *j)
{
	const char *text = json_string(j);
	gsize len = 0;

	if (!text)
		return g_strdup("");
	g_autofree guchar *raw = g_base64_decode(text, &len);

	return g_strndup((char *)raw, len);
}

static struct json *options_to_json(const struct session_options *o)
{
	struct json *j = json_new_object();

	for (size_t i = 0; i < G_N_ELEMENTS(list_fields); i++) {
		struct json *arr = json_new_array();
		char **list = G_STRUCT_MEMBER(char **, o,
			list_fields[i].offset);

		for (; *list; list++)
			put_bytes(arr, *list);
		json_put(j, list_fields[i].key, arr);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(bool_fields); i++)
		json_put_bool(j, bool_fields[i].key,
			G_STRUCT_MEMBER(bool, o, bool_fields[i].offset));
	json_put_path(j, "local", o->local);
	json_put_string(j, "runtimeDir", o->runtime_dir);
	json_put_string(j, "onConflict", o->on_conflict);
	json_put_int(j, "pollMs", (int64_t)(o->poll_seconds * 1000));
	json_put_int(j, "timeoutMs", o->timeout_ms);
	json_put_int(j, "cacheLimit", o->cache_limit);
	json_put_int(j, "trashDays", o->trash_days);
	return j;
}

static char **list_from_json(const struct json *arr)
{
	size_t n = arr && json_kind_of(arr) == JSON_ARRAY ? json_count(arr) : 0;
	char **list = g_new0(char *, n + 1);

	for (size_t i = 0; i < n; i++)
		list[i] = get_bytes(json_at(arr, i));
	return list;
}

/* A path put by json_put_path(). */
static char *path_from_json(const struct json *obj, const char *key)
{
	g_autofree char *key64 = g_strconcat(key, "_base64", NULL);
	const struct json *raw = json_get(obj, key64);

	return raw ? get_bytes(raw)
		   : g_strdup(json_string(json_get(obj, key)));
}

static void set_string(char **field, const struct json *j)
{
	if (json_string(j)) {
		g_free(*field);
		*field = g_strdup(json_string(j));
	}
}

static struct session_options *options_from_json(const struct json *j)
{
	struct session_options *o = session_options_new();

	for (size_t i = 0; i < G_N_ELEMENTS(list_fields); i++) {
		char ***list = &G_STRUCT_MEMBER(char **, o,
			list_fields[i].offset);

		g_strfreev(*list);
		*list = list_from_json(json_get(j, list_fields[i].key));
	}
	for (size_t i = 0; i < G_N_ELEMENTS(bool_fields); i++)
		G_STRUCT_MEMBER(bool, o, bool_fields[i].offset) =
			json_flag(json_get(j, bool_fields[i].key), false);
	o->local = path_from_json(j, "local");
	set_string(&o->runtime_dir, json_get(j, "runtimeDir"));
	set_string(&o->on_conflict, json_get(j, "onConflict"));
	o->poll_seconds = json_number(json_get(j, "pollMs"), 0) / 1000;
	o->timeout_ms = (int64_t)json_number(json_get(j, "timeoutMs"), 0);
	o->cache_limit = (int64_t)json_number(json_get(j, "cacheLimit"), 0);
	o->trash_days = (int)json_number(json_get(j, "trashDays"), 14);
	return o;
}

static enum session_state state_from_name(const char *name)
{
	for (size_t i = 0; name && i < G_N_ELEMENTS(state_names); i++)
		if (!strcmp(name, state_names[i]))
			return (enum session_state)i;
	return SESSION_FAILED;
}

static uint64_t number(const struct json *j, const char *key)
{
	int64_t n = 0;

	if (json_get(j, key) && !json_is_integer(json_get(j, key), &n))
		return 0;
	return (uint64_t)n;
}

static int from_json(struct session *s, const struct json *j, GError **err)
{
	const struct json *spec = json_get(j, "spec");
	g_autofree char *text = NULL;

	if (number(j, "version") != SESSION_VERSION)
		return fail(err, FAIL_FAILED,
			"session %s: its version is %" PRIu64
			", this program knows %d; use the program that made it",
			s->name, number(j, "version"), SESSION_VERSION);
	if (!spec || !json_string(json_get(j, "id")))
		return fail(err, FAIL_LOCAL,
			"session %s: session.json lacks its spec; the mirror "
			"in %s still holds every file", s->name, s->dir);
	text = json_to_text(spec, false);
	s->spec = spec_parse(text, strlen(text), "session.json", err);
	if (!s->spec)
		return -EINVAL;
	s->spec->command = json_get(j, "command")
		? list_from_json(json_get(j, "command")) : NULL;
	s->id = g_strdup(json_string(json_get(j, "id")));
	s->options = options_from_json(json_get(j, "options"));
	s->st = state_from_name(json_string(json_get(j, "state")));
	s->mountpoint = path_from_json(j, "mountpoint");
	s->last_error = g_strdup(json_string(json_get(j, "lastError")));
	s->local_dev = number(j, "localDev");
	s->local_ino = number(j, "localIno");
	s->last_ack_ms = (int64_t)number(j, "lastAckMs");
	s->expires_ms = (int64_t)number(j, "expiresMs");
	s->last_conflicts = number(j, "conflicts");
	s->last_held = number(j, "held");
	s->open_conflicts = number(j, "openConflicts");
	s->open_held = number(j, "openHeld");
	s->counters = (struct counters){
		.batches = number(j, "sentBatches"),
		.files = number(j, "sentFiles"),
		.bytes = number(j, "sentBytes"),
		.fetched_files = number(j, "fetchedFiles"),
		.fetched_bytes = number(j, "fetchedBytes"),
	};
	return 0;
}

int session_json_load(struct session *s, GError **err)
{
	g_autofree char *file = g_build_filename(s->dir, "session.json", NULL);
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	gsize len = 0;

	if (!g_file_get_contents(file, &text, &len, &why))
		return fail(err, FAIL_USAGE,
			"session %s: cannot be read: %s; `sandmount list` "
			"shows the sessions", s->name, why->message);
	if (len > SESSION_FILE_LIMIT)
		return fail(err, FAIL_LOCAL, "%s: too large", file);
	struct json *j = json_parse(text, len, &why);

	if (!j)
		return fail(err, FAIL_LOCAL,
			"%s: damaged: %s; the mirror beside it still holds "
			"every file", file, why->message);
	int r = from_json(s, j, err);

	json_free(j);
	return r;
}

/* The spec as an object that spec_parse() takes (no identity). */
static struct json *spec_object(const struct spec *spec)
{
	struct json *j = json_new_object();

	json_put_string(j, "transport", "sandbox");
	json_put_string(j, "provider", spec->provider);
	json_put_string(j, "sandboxId", spec->sandbox_id);
	json_put_string(j, "remoteCwd", spec->remote_cwd);
	json_put_int(j, "timeoutMs", spec->timeout_ms);
	spec_options_put(spec, j);
	return j;
}

static struct json *to_json(struct session *s)
{
	struct json *j = json_new_object();

	json_put_int(j, "version", SESSION_VERSION);
	json_put_string(j, "name", s->name);
	json_put_string(j, "id", s->id);
	json_put(j, "spec", spec_object(s->spec));
	if (s->spec->command) {
		struct json *arr = json_new_array();

		for (char **a = s->spec->command; *a; a++)
			put_bytes(arr, *a);
		json_put(j, "command", arr);
	}
	json_put(j, "options", options_to_json(s->options));
	json_put_string(j, "state", session_state_name(s->st));
	json_put_path(j, "mountpoint", s->mountpoint);
	json_put_string(j, "lastError", s->last_error);
	json_put_int(j, "localDev", (int64_t)s->local_dev);
	json_put_int(j, "localIno", (int64_t)s->local_ino);
	json_put_int(j, "lastAckMs", s->last_ack_ms);
	json_put_int(j, "expiresMs", s->expires_ms);
	json_put_int(j, "conflicts", (int64_t)s->last_conflicts);
	json_put_int(j, "held", (int64_t)s->last_held);
	json_put_int(j, "openConflicts", (int64_t)s->open_conflicts);
	json_put_int(j, "openHeld", (int64_t)s->open_held);
	json_put_int(j, "sentBatches", (int64_t)s->counters.batches);
	json_put_int(j, "sentFiles", (int64_t)s->counters.files);
	json_put_int(j, "sentBytes", (int64_t)s->counters.bytes);
	json_put_int(j, "fetchedFiles", (int64_t)s->counters.fetched_files);
	json_put_int(j, "fetchedBytes", (int64_t)s->counters.fetched_bytes);
	return j;
}

int session_json_save(struct session *s, GError **err)
{
	mutex_lock(&s->lock);
	struct json *j = to_json(s);
	mutex_unlock(&s->lock);

	g_autofree char *text = json_to_text(j, true);
	g_autofree char *temp = io_temp_name();

	json_free(j);
	autofd int fd = beneath_open(
		s->dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int r = fd;

	if (r >= 0)
		r = io_write_full(fd, text, strlen(text));
	if (r >= 0 && io_sync(fd) < 0)
		r = -errno;
	if (r >= 0)
		r = beneath_rename(
			s->dir_fd, temp, s->dir_fd, "session.json", 0);
	if (r >= 0)
		r = io_sync_dir(s->dir_fd);
	if (r >= 0)
		return 0;
	beneath_unlink(s->dir_fd, temp, 0);
	return fail_errno(err, r, "write %s/session.json", s->dir);
}
