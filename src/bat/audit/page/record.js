// A record: what a job did, from what, with which code, and where and when it ran.

/** Everything that is known of one record; `open` is told when another one is asked for. */
function recordView(index, open) {
  const record = DATA.records[index];
  const view = element("article", { class: "record", "data-record": recordId(index) },
    element("h3", {}, leaves(record)),
    ...(PROBLEMS_OF.get(index) ?? []).map((text) => element("p", { class: "notice" }, text)));
  if (record.id === null) return view;
  view.append(
    definitions([
      ["Stage", record.stage],
      ...selection(record).map(([name, value]) => [capital(name), value]),
      ["Record", hashText(recordId(index), 64)],
      ["Folder", element("code", {}, record.folder)],
      ["A rebuild is", DETERMINISM[record.determinism] ?? record.determinism],
    ]),
    section("Made", files(record.outputs.map(({ name, bytes, sha256 }) =>
      [name, size(bytes), hashText(hash(sha256))]))),
    section("From", inputsOf(record, open)),
    section("Code", codeOf(record)),
    section("Run", runOf(record)),
    section("Settings", element("pre", { class: "settings", tabindex: "0" },
      JSON.stringify(DATA.settings[record.settings], null, 1))),
    command("Rebuild it, and what depends on it", rebuildCommand([record])),
  );
  return view;
}

const DETERMINISM = {
  bitwise: "the same bytes anywhere, with the same software",
  "bitwise-same-hardware": "the same bytes on the same kind of processor",
  tolerance: "equal within a tolerance",
  stochastic: "not the same, by its nature",
};

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

function section(title, content) {
  return element("details", { open: title === "Made" || title === "From" },
    element("summary", {}, title), content);
}

const INPUTS_SHOWN = 200;

const files = (rows) => plainTable(["file", "size", "sha256"], rows, { numeric: [1] });

function inputsOf(record, open) {
  if (!record.inputs.length) return element("p", {}, "Nothing that was made here: this is where it begins.");
  const table = plainTable(["role", "file", "sha256"], record.inputs.slice(0, INPUTS_SHOWN).map((known) => [
    known.role,
    known.record === null ? known.path : element("button", { type: "button", class: "link",
      click: () => open(known.record) }, known.path),
    hashText(hash(known.sha256)),
  ]));
  const left = record.inputs.length - INPUTS_SHOWN;
  return left > 0 ? element("div", {}, table, element("p", {}, `and ${whole(left)} more files`)) : table;
}

function codeOf(record) {
  const code = DATA.codes[record.code];
  return element("div", {},
    definitions([
      ["Digest", hashText(hash(code.digest), 64)],
      ["Lock file", hashText(hash(record.environment_lock), 64)],
    ]),
    element("details", {}, element("summary", {}, `${code.modules.length} modules`),
      plainTable(["module", "sha256"], code.modules.map((place) => {
        const [name, sha256] = DATA.modules[place];
        return [name, hashText(hash(sha256))];
      }))));
}

function runOf(record) {
  const { run } = record;
  if (!run) return element("p", {}, "There is no run log beside the recipe.");
  const machine = DATA.environments[run.environment];
  return definitions([
    ["Started", moment(run.started)],
    ["Finished", moment(run.finished)],
    ["Took", run.wall_s && `${duration(run.wall_s)}, ${duration(run.cpu_s ?? 0)} of processor time`],
    ["Memory at most", run.peak_memory_bytes && size(run.peak_memory_bytes)],
    ["Host", machine.host],
    ["Processor", [machine.cpu, machine.cores && `${machine.cores} cores`].filter(Boolean).join(", ")],
    ["GPU", machine.gpu ?? "none"],
    ["Threads", machine.threads],
    ["System", machine.system],
    ["Python", machine.python],
    ["Packages", Object.entries(machine.packages ?? {}).map((each) => each.join(" ")).join(", ")],
    ["SLURM job", run.slurm_job_id],
    ["Commit", run.commit && element("span", {}, hashText(run.commit, 40),
      run.dirty ? " with changes" : "")],
    ["Notes", Object.keys(run.notes).length ? JSON.stringify(run.notes, null, 1) : null],
  ]);
}

/** The command that makes the files of some records anew, and what depends on them. */
function rebuildCommand(records) {
  const targets = records.map((record) => quoted(`${record.folder}/recipe.json`)).join(" ");
  const experiment = DATA.params ? ` --configfile ${quoted(DATA.params)}` : "";
  return `snakemake --cores 2 --forcerun ${targets} -- results/tables/main.csv${experiment}`;
}
