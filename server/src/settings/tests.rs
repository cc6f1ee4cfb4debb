use super::{choices::LogFormat, table::File, *};
use fabric_client::settings::Setting;
use fabric_types::{ceilings::Ceilings, function::EntryKind, grants::GrantRules, units::ByteSize};
use std::time::Duration;

fn resolve(args: ServeArgs, env: &[(&str, &str)], file: Option<&str>) -> Result<ServeConfig, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut args = ServeArgs { data: args.data.clone().or(Some("/data".into())), ..args };
    if let Some(text) = file {
        let path = dir.path().join("fabric.conf");
        std::fs::write(&path, text).unwrap();
        args.config = Some(path);
    }
    let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let shown = dir.path().display().to_string();
    args.resolve(&lookup).map_err(|f| f.message.replace(&shown, "DIR"))
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let file = "listen = \"127.0.0.1:1\"\nslots = 1\nlog-format = \"json\"\nrole = [\"all\"]\n";
    let env = [("FABRIC_LISTEN", "127.0.0.1:2"), ("FABRIC_SLOTS", "2")];
    let config = resolve(ServeArgs { slots: Some(3), ..Default::default() }, &env, Some(file)).unwrap();
    assert_eq!((config.listen.value.port(), config.listen.origin), (2, Origin::Env("FABRIC_LISTEN")));
    assert_eq!(config.slots, Some(Setting { value: 3, origin: Origin::Flag("--slots") }));
    assert_eq!(config.log_format.value, LogFormat::Json);
    assert!(matches!(config.log_format.origin, Origin::File(_)));
    let plain = resolve(ServeArgs::default(), &[], None).unwrap();
    assert_eq!((plain.listen.value.to_string().as_str(), plain.listen.origin), ("127.0.0.1:8080", Origin::Default));
}

#[test]
fn mistakes_are_named() {
    let unknown = resolve(ServeArgs::default(), &[], Some("listn = 1")).unwrap_err();
    assert!(unknown.starts_with("DIR/fabric.conf: ") && unknown.contains("listn"), "{unknown}");
    let rule = resolve(
        ServeArgs::default(),
        &[],
        Some("jupyterhub = \"https://hub/hub/api\"\njupyterhub-map = [\"all=t/admin\"]"),
    );
    assert!(rule.unwrap_err().contains("jupyterhub-map: `all=t/admin`: write WHO=TENANT/ROLE"));
    let lost = resolve(ServeArgs::default(), &[("FABRIC_JUPYTERHUB_MAP", "everyone=t/invoker")], None).unwrap_err();
    assert!(lost.contains("there is no Hub"), "{lost}");
    let env = resolve(ServeArgs::default(), &[("FABRIC_SLOTS", "many")], None).unwrap_err();
    assert!(env.starts_with("FABRIC_SLOTS=`many`: "), "{env}");
    let nats = || ServeArgs { nats: Some("nats://x".into()), ..Default::default() };
    assert!(resolve(nats(), &[], None).unwrap_err().contains("all processes share"));
    let shared = || ServeArgs { store: Some("s3://bucket".into()), ..nats() };
    assert!(resolve(shared(), &[], None).is_ok());
    assert!(
        resolve(ServeArgs { role: Some(RoleSet { node: true, ..RoleSet::default() }), ..shared() }, &[], None).is_ok()
    );
    let both = ServeArgs { nats_creds: Some("c".into()), nats_nkey: Some("n".into()), ..shared() };
    assert!(resolve(both, &[], None).unwrap_err().contains("give one of them"));
    let half = ServeArgs { nats_cert: Some("c".into()), ..shared() };
    assert!(resolve(half, &[], None).unwrap_err().contains("go together"));
    let never = ServeArgs { job_lease: Some(0), ..shared() };
    assert!(resolve(never, &[], None).unwrap_err().contains("1 to 600 seconds"));
    let half = ServeArgs { tls_cert: Some("c".into()), ..Default::default() };
    assert!(resolve(half, &[], None).is_err());
    let role = ServeArgs { role: Some(RoleSet { node: true, ..RoleSet::default() }), ..Default::default() };
    assert!(resolve(role, &[], None).unwrap_err().contains("needs a fleet"));
}

#[test]
fn what_a_node_offers_is_said_and_checked() {
    let file = "labels = { zone = \"a\" }\nmemory = \"2GiB\"\n[placement.weights]\nLocality = 5\nSpeed = 0\n";
    let speed = ServeArgs { speed: Some(0.5), ..Default::default() };
    let config = resolve(speed, &[("FABRIC_GPUS", "2")], Some(file)).unwrap();
    let offer = config.offer();
    assert_eq!((offer.memory_bytes, offer.speed, offer.gpus), (Some(2 << 30), Some(0.5), Some(2)));
    assert_eq!(label::show(&offer.labels), "zone=a");
    let weights = config.placement.value.weights();
    assert_eq!((weights.locality, weights.speed, weights.least_requested), (5.0, 0.0, 1.0));
    let env = [("FABRIC_LABELS", "zone=b, disk=ssd"), ("FABRIC_ACCEPT", "task,http")];
    let offer = resolve(ServeArgs::default(), &env, Some(file)).unwrap().offer();
    let shown = label::show(&offer.labels);
    assert_eq!((shown.as_str(), &offer.accepts[..]), ("disk=ssd, zone=b", &[EntryKind::Task, EntryKind::Http][..]));
    for (file, says) in [
        ("labels = { \"a b\" = \"c\" }", "is not a label"),
        ("[placement.weights]\nlocality = 1", "unknown field `locality`"),
        ("[placement.weights]\nLocality = -1", "placement.weights.Locality is -1"),
        ("accept = [\"gpu\"]", "unknown variant `gpu`"),
        ("speed = 0.0", "use 0.01 to 100"),
        ("[ceilings]\nmemory = 1", "unknown field `memory`"),
        ("[ceilings]\nmemory-bytes = \"8GiB\"", "ceiling memory-bytes is 8GiB: use 64KiB to 4GiB"),
        ("[ceilings]\ndeadline-ms = 0", "ceiling deadline-ms is 0"),
        ("[grants]\nnetwork = [\"a b\"]", "is not a host rule"),
        ("[grants]\nclocks = \"maybe\"", "clocks"),
    ] {
        let said = resolve(ServeArgs::default(), &[], Some(file)).unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn an_open_door_must_be_asked_for() {
    let open = || ServeArgs { listen: "0.0.0.0:80".parse().ok(), ..Default::default() };
    assert!(resolve(open(), &[], None).unwrap_err().contains("without TLS"));
    assert!(resolve(ServeArgs { insecure_listen: Some(true), ..open() }, &[], None).is_ok());
    assert!(resolve(ServeArgs { tls_cert: Some("c".into()), tls_key: Some("k".into()), ..open() }, &[], None).is_ok());
}

#[test]
fn secrets_in_addresses_are_hidden() {
    assert_eq!(hide_userinfo("s3://key:secret@host/b?token=x"), "s3://(hidden)@host/b");
    assert_eq!(hide_userinfo("http://host:4318/v1"), "http://host:4318/v1");
}

#[test]
fn limits_of_compilations_are_set_and_checked() {
    let file = "compile-memory = \"2GiB\"\ncompile-cpu-seconds = 30\n";
    let args = ServeArgs { max_module_bytes: Some(ByteSize::mib(8)), ..Default::default() };
    let env = [("FABRIC_COMPILE_CPU_SECONDS", "500"), ("FABRIC_WORKER_UID", "0")];
    let config = resolve(args, &env, Some(file)).unwrap();
    let mut compile = fabric_host::CompileOptions::new(fabric_host::WorkerCommand::default());
    config.limit_compilations(&mut compile);
    assert_eq!((compile.max_module_bytes, compile.memory_bytes), (ByteSize::mib(8), ByteSize::gib(2)));
    assert_eq!((compile.cpu_seconds, compile.wall_seconds, compile.user), (500, 1500, None));
    let rows = config.rows();
    let shown = |name: &str| {
        rows.iter().find(|row| row.name == name).map(|row| (row.value.as_str(), row.origin.as_str())).unwrap()
    };
    assert_eq!(shown("serve.compile-cpu-seconds"), ("500", "environment (FABRIC_COMPILE_CPU_SECONDS)"));
    assert_eq!(shown("serve.compile-concurrency"), ("-", "default"));
    assert_eq!(shown("serve.max-module-bytes").0, "8 MiB");
    for (file, says) in [
        ("compile-memory = \"1MiB\"", "compile-memory, from "),
        ("compile-cpu-seconds = 0", "use 1 to 86400"),
        ("compile-concurrency = 1", "use 2 to 1024"),
        ("max-module-bytes = \"2GiB\"", "use 1024 to 1073741824"),
    ] {
        let said = resolve(ServeArgs::default(), &[], Some(file)).unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_flag_its_variable_and_its_key_have_one_name() {
    let serve = <ServeArgs as clap::Args>::augment_args(clap::Command::new("serve"));
    let shown: Vec<_> =
        resolve(ServeArgs::default(), &[], None).unwrap().rows().into_iter().map(|row| row.name).collect();
    let unknown = toml::from_str::<File>("no-such-key = 1").unwrap_err().to_string();
    let keys: Vec<_> = unknown.split('`').skip(3).step_by(2).collect();
    let flags: Vec<_> = serve.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?))).collect();
    assert!(flags.len() > 40, "{}", flags.len());
    for (arg, flag) in &flags {
        let variable = format!("[env: FABRIC_{}", flag.to_uppercase().replace('-', "_"));
        let help = arg.get_help().unwrap().to_string();
        if *flag == "config" {
            assert!(help.contains("[env: FABRIC_CONFIG]"));
            continue;
        }
        let named = [";", "]"].iter().any(|end| help.contains(&format!("{variable}{end}")));
        assert!(named, "--{flag}: its help lacks {variable}");
        assert!(keys.contains(flag), "--{flag} is no key of the file: {keys:?}");
        assert!(shown.contains(&format!("serve.{flag}")), "--{flag} is not in `config show`");
    }
    // A key without a flag is a table.
    for key in keys {
        let is_flag = flags.iter().any(|(_, flag)| *flag == key);
        assert!(is_flag || toml::from_str::<File>(&format!("[{key}]")).is_ok(), "{key} is neither a flag nor a table");
    }
}

#[test]
fn every_invalid_setting_is_found_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fabric.conf");
    let text = "slots = 0\nlistn = 1\nmax-tasks = 7\n[storage]\nquota = \"big\"\nkeep-jobs = \"3d\"\n\
                [ceilings]\nmemory-bytes = \"8GiB\"\n[placement.weights]\nGpu = -1\n";
    std::fs::write(&path, text).unwrap();
    let args = ServeArgs { data: Some("/data".into()), config: Some(path), ..Default::default() };
    let env = |name: &str| (name == "FABRIC_IDLE_TIMEOUT").then(|| "long".to_owned());
    let (config, invalid) = args.resolve_all(&env);
    let names: Vec<_> = invalid.iter().map(|w| w.name.as_str()).collect();
    let expected =
        ["listn", "storage.quota", "idle-timeout", "slots", "placement.weights.Gpu", "ceilings.memory-bytes"];
    assert_eq!(names, expected);
    assert_eq!((config.max_tasks.value, config.storage.value.keep_jobs().as_secs()), (7, 3 * 86_400));
    let refused = args.resolve(&env).unwrap_err().message;
    assert!(refused.contains("line 2"), "{refused}");
}

#[test]
fn a_default_in_the_help_is_the_default() {
    let mut compared = 0;
    for (name, in_help, default) in ServeConfig::default_texts() {
        if let Some(in_help) = in_help {
            assert!(in_help == default || name == "data", "{name}: the help says {in_help}, the default is {default}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn connections_are_limited_by_flags_variables_and_the_file() {
    let args = ServeArgs { idle_timeout: Some(5), ..Default::default() };
    let file = "idle-timeout = 7\nheader-timeout = 8\nfunctions-domain = \"fn.example.org\"";
    let env = [("FABRIC_HEADER_TIMEOUT", "9"), ("FABRIC_MAX_CONNECTIONS", "100")];
    let config = resolve(args, &env, Some(file)).unwrap();
    let options = config.gateway_options();
    assert_eq!((options.idle_timeout, options.header_timeout), (Duration::from_secs(5), Duration::from_secs(9)));
    assert_eq!((options.max_connections, options.connections_per_address), (100, Some(25)));
    assert_eq!(options.functions_domain.unwrap().to_string(), "fn.example.org");
    for (file, says) in [
        ("idle-timeout = 0", "idle-timeout, from"),
        ("max-connections = 0", "max-connections, from"),
        ("idle = 1", "unknown field `idle`"),
        ("functions-domain = \"a b\"", "is not a domain"),
    ] {
        let said = resolve(ServeArgs::default(), &[], Some(file)).unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn only_a_fleet_has_proxies_to_wait_for() {
    let fleet = || ServeArgs { nats: Some("nats://x".into()), store: Some("s3://b".into()), ..Default::default() };
    let delay = |args| resolve(args, &[], None).unwrap().shutdown_times().delay;
    assert_eq!(delay(ServeArgs::default()), Duration::ZERO);
    assert_eq!(delay(fleet()), Duration::from_secs(5));
    assert_eq!(delay(ServeArgs { shutdown_delay: Some(30), ..Default::default() }), Duration::from_secs(30));
    let too_long = ServeArgs { drain_timeout: Some(86_401), ..fleet() };
    assert_eq!(
        resolve(too_long, &[], None).unwrap_err(),
        "drain-timeout, from flag (--drain-timeout): use 0 to 86400 seconds"
    );
}

#[test]
fn every_ceiling_and_grant_is_shown_with_its_origin() {
    let file = "[ceilings]\nmemory-bytes = \"2GiB\"\n[grants]\nnetwork = [\"*.example.org\"]\n";
    let rows = resolve(ServeArgs::default(), &[], Some(file)).unwrap().rows();
    let count = |table: &str| rows.iter().filter(|row| row.name.starts_with(table)).count();
    assert_eq!((count("serve.ceilings."), count("serve.grants.")), (Ceilings::KEYS.len(), GrantRules::KEYS.len()));
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("serve.ceilings.memory-bytes").value, "2GiB");
    assert!(row("serve.ceilings.memory-bytes").origin.contains("fabric.conf"));
    assert_eq!(
        (row("serve.ceilings.deadline-ms").value.as_str(), row("serve.grants.clocks").value.as_str()),
        ("3600000", "yes")
    );
    assert_eq!(row("serve.grants.network").value, "*.example.org");
    assert_eq!(row("serve.grants.clocks").origin, "default");
}

#[test]
fn roles_are_a_set() {
    let shown = |text: &str| <RoleSet as value::SettingValue>::parse(text).map(|roles| roles.to_string());
    assert_eq!(shown("node, gateway,node").unwrap(), "gateway,node");
    assert_eq!(shown("scheduler,all").unwrap(), "all");
    assert_eq!(shown("gateway,scheduler,node").unwrap(), "all");
    assert!(shown("master").is_err());
}
