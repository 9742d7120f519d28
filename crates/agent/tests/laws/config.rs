//! The configuration: its schema, its defaults, what it refuses.

use haversack_agent::agent::{DEFAULT_TOML, Provider, Secret, SecretRef};
use haversack_agent::{AgentConfig, ConfigError};
use serde_json::{Value, json};

use super::house::House;

fn as_json(toml: &str) -> Value {
    let file: toml::Table = toml::from_str(toml).unwrap();
    serde_json::to_value(&file["agent"]).unwrap()
}

fn read(toml: &str) -> Result<AgentConfig, toml::de::Error> {
    #[derive(serde::Deserialize)]
    struct File {
        agent: AgentConfig,
    }
    toml::from_str::<File>(toml).map(|file| file.agent)
}

#[test]
fn the_embedded_defaults_fit_the_schema_and_the_code() {
    let validator = jsonschema::validator_for(&AgentConfig::json_schema()).unwrap();
    let embedded = as_json(DEFAULT_TOML);
    assert!(
        validator.is_valid(&embedded),
        "{:?}",
        validator.iter_errors(&embedded).map(|e| e.to_string()).collect::<Vec<_>>()
    );
    let config = AgentConfig::default();
    assert!(config.specialists.len() >= 3);
    assert_eq!(config.model, Default::default(), "the file and the code agree on [agent.model]");
    assert_eq!(config.tools, Default::default(), "the file and the code agree on [agent.tools]");
    assert_eq!(config.limits, Default::default(), "the file and the code agree on [agent.limits]");
    let _ = House::offline();
}

#[test]
fn what_is_left_out_comes_from_the_defaults() {
    let config = read("[agent.limits]\nsteps = 3\n").unwrap();
    assert_eq!(config.limits.steps, 3);
    assert_eq!(config.limits.buffer_tokens, AgentConfig::default().limits.buffer_tokens);
    assert_eq!(config.specialists, AgentConfig::default().specialists);
    assert_eq!(read("[agent]\n").unwrap().model.provider, Provider::Offline);
}

#[test]
fn the_schema_and_the_reader_refuse_the_same() {
    let validator = jsonschema::validator_for(&AgentConfig::json_schema()).unwrap();
    let wrong = [
        "[agent]\nspecialist = []\n",
        "[agent.model]\nprovider = \"psychic\"\n",
        "[agent.model]\napi_key = \"sk-in-plain-sight\"\n",
        "[agent.tools]\ntimeout = 3\n",
        "[[agent.specialists]]\nname = \"x\"\n",
    ];
    for toml in wrong {
        assert!(!validator.is_valid(&as_json(toml)), "{toml}");
        let error = read(toml).unwrap_err().to_string();
        assert!(!error.contains("in-plain-sight") || error.contains("api_key"), "{error}");
    }
    let right = "[agent.model]\nprovider = \"genai\"\nname = \"openai::x\"\napi_key = \"env:KEY\"\nbase_url \
        = \"http://127.0.0.1:1/v1\"\n";
    assert!(validator.is_valid(&as_json(right)));
    let config = read(right).unwrap();
    assert_eq!(config.model.api_key, Some(SecretRef::Env("KEY".to_owned())));
}

#[test]
fn what_a_schema_cannot_say_is_checked() {
    let config = AgentConfig::default;
    let none = AgentConfig { specialists: Vec::new(), ..config() };
    assert!(matches!(none.check(&[]), Err(ConfigError::NoSpecialists)));
    let unknown = config().check(&[]);
    let Err(ConfigError::UnknownTool { specialist, tool, .. }) = unknown else { panic!("{unknown:?}") };
    assert_eq!((specialist.as_str(), tool.as_str()), ("orders", "remember"));
    let mut twice = config();
    twice.specialists.iter_mut().for_each(|s| s.tools.clear());
    twice.specialists[1].name = "orders".to_owned();
    assert!(matches!(twice.check(&[]), Err(ConfigError::DuplicateSpecialist(_))));
    twice.specialists[1].name = "Or ders".to_owned();
    assert!(matches!(twice.check(&[]), Err(ConfigError::SpecialistName(_))));
    let mut zero = config();
    zero.tools.parallel = 0;
    assert!(matches!(zero.check(&[]), Err(ConfigError::Range { key: "agent.tools.parallel", .. })));
}

#[test]
fn a_secret_is_printed_nowhere() {
    let secret = Secret::new("sk-canary");
    assert!(!format!("{secret:?}").contains("canary"));
    assert_eq!(secret.expose(), "sk-canary");
    assert_eq!(serde_json::to_value(SecretRef::File("/run/x".to_owned())).unwrap(), json!("file:/run/x"));
}
