#include "tasks/ruler/words.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lt2::tasks {
namespace {

constexpr char kAdjectives[] =
    "able amber ample ancient angry aquatic arctic ashen autumn awake azure "
    "bald bare basic bitter blank blunt bold brave brief bright brittle broad "
    "broken busy calm careful central cheap chilly civil clean clear clever "
    "close cloudy coarse coastal cold common compact cool copper coral costly "
    "cozy crisp crooked curious curly daily damp dark dear deep dense dim "
    "distant double dreamy dry dull dusty eager early earnest eastern easy "
    "elder electric empty endless equal exact faint fair faithful false famous "
    "fancy fast feeble fertile fierce final fine firm fiscal flat fluent fond "
    "formal foreign fragile frank free fresh frosty frozen full funny gentle "
    "giant gifted glad global gloomy golden good graceful grand grateful great "
    "green greedy grim hairy handy happy harsh hasty hazel heavy hidden hollow "
    "honest humble hungry icy idle inner ivory jolly joyful keen kind known "
    "large late lazy lean level light lively local lonely long loose loud "
    "loyal lucky lunar mature mellow merry mighty mild misty modern modest "
    "moist muddy narrow native near neat noble noisy northern novel odd old "
    "open orange outer oval pale patient plain pleasant polite proud pure "
    "purple quick quiet rainy rapid rare raw ready red regal remote rich rigid "
    "ripe rocky rough round royal rural rustic safe salty sandy scarlet secret "
    "senior serene shallow sharp shiny short shy silent silver simple sleepy "
    "slim slow small smooth snowy sober soft solar solid southern spare "
    "special stale steady steep stern sticky stiff still stormy strange strict "
    "strong sturdy subtle sudden sunny sweet swift tall tame tender thick thin "
    "thirsty tidy tiny tired torn tough tranquil true urban useful vague vast "
    "velvet violet visible vivid warm wary wavy wealthy weary western wet "
    "white whole wide wild windy wise witty wooden woolly worthy yellow young";

constexpr char kNouns[] =
    "acorn actor anchor angle ankle answer apple apron arch arm army arrow "
    "artist atlas attic aunt author axle badge bag baker balcony ball banana "
    "bandage bank banner barge bark barn barrel basin basket bath battery "
    "beach beam bean bear beard bed bee beetle bell belt bench berry bird "
    "biscuit blanket blossom board boat body bolt bone book boot border bottle "
    "boulder bowl box boy brain branch bread brick bridge broom brother brush "
    "bubble bucket building bulb bus bush butter button cabin cabinet cable "
    "cactus cage cake calendar camel camera camp canal candle canoe canvas cap "
    "captain car card cargo carpet carrot cart castle cat cave cedar cellar "
    "chain chair chalk chamber chapel cheese cherry chest chicken chimney chin "
    "church circle city cliff clock cloth cloud clover coach coal coast coat "
    "cobweb coffee coin collar colony comb comet compass concert copy corn "
    "corner cottage cotton couch cousin cow crab cradle crane crater crayon "
    "creek crew crow crowd crown crystal cup cupboard curtain cushion cycle "
    "daisy dam dancer daughter dawn deck deer desert desk dessert diamond "
    "diary "
    "dinner doctor dog doll dolphin donkey door dragon drawer dress drum duck "
    "dune dust eagle ear earth echo edge egg elbow elephant elm engine "
    "envelope evening eye face factory falcon farm farmer father feast feather "
    "fence fern ferry fiddle field fig finger fire fish flag flame flock floor "
    "flour flower flute fog folder foot forest fork fort fountain fox frame "
    "friend frog fruit funnel furnace garage garden garlic gate ghost giraffe "
    "girl glacier glass glove goat goose gorge grain grandson grape grass "
    "gravel grove guest guide guitar gulf hair hall hammer hammock hand "
    "handle harbor harp hat hawk hay heart hedge heel helmet hen herb heron "
    "hill hinge hive honey hood hook horn horse hospital hotel house hut "
    "insect iron island jacket jar jaw jelly jewel journal judge jug juice "
    "jungle kettle key king kitchen kite knee knife knight knot ladder lake "
    "lamb lamp lantern lawn lawyer leaf leather lemon lens letter lettuce "
    "library lid lily lime line lion lip lizard lobster lock log loom lumber "
    "lunch magnet maid mango map maple marble market marsh mask mast mat "
    "meadow meal medal melon mirror mist mitten moat monk monkey moon moose "
    "morning mosquito moss moth mother motor mountain mouse mouth mud museum "
    "mushroom musket nail napkin neck necklace needle nephew nest net nickel "
    "niece night noodle north nose notebook novelist nurse nut oak oar oasis "
    "oat ocean office olive onion orchard orchid organ ostrich otter oven owl "
    "ox oyster packet paddle page paint palace palm pan panther paper parade "
    "parcel park parrot pasta path peach peacock pear pearl pebble pelican pen "
    "pencil penguin pepper petal piano picture pier pig pigeon pillar pillow "
    "pilot pin pine pipe pirate pitcher plain planet plank plant plate plaza "
    "plow plum pocket poem poet pond pony porch port postcard pot potato "
    "pottery powder prince prison pulley pump pumpkin puppet puzzle pyramid "
    "quail quarry queen quill quilt rabbit raccoon radio raft rail rain "
    "raisin ranch raven ribbon rice rider ring river road robin rock rocket "
    "roof room root rope rose rudder rug ruler saddle sail sailor salad salmon "
    "salt sand sauce saucer sausage saw scale scarf school scissors screen "
    "screw sea seal season seat seed shark shed sheep sheet shelf shell ship "
    "shirt shoe shore shovel shrimp shutter silk sink sister skeleton sky "
    "sled sleeve slipper smoke snail snake snow soap sock sofa soldier son "
    "soup spade sparrow spider spoon spring spruce square squirrel stable "
    "staircase stamp star statue steam steel stem stick stone stool stork "
    "storm stove stranger straw stream street string submarine sugar suitcase "
    "summer sun swamp swan sweater sword table tail tailor tank tea teacher "
    "temple tent theater thimble thistle thorn thread throne throat thumb "
    "ticket tiger tile timber toad toast tomato tongue tool tooth torch "
    "tortoise towel tower town toy tractor trail train trapdoor tray treasure "
    "tree triangle trousers truck trumpet trunk tulip tunnel turkey turnip "
    "turtle twig umbrella uncle uniform valley van vase vault vegetable veil "
    "vest village vine vinegar violin volcano wagon waiter wall walnut walrus "
    "wardrobe watch water wave wax weasel web well whale wheat wheel whistle "
    "widow wife window wine wing winter wire wolf woman wood wool worm wreath "
    "wrist writer yacht yard yarn zebra zipper";

constexpr char kVerbs[] =
    "absorb accept admire admit advise agree allow amuse announce appear "
    "applaud approve argue arrange arrive attach attack attend avoid bake "
    "balance beg begin behave believe bend bind bite blend bless blink blow "
    "boil borrow bounce bow break breathe bring build burn bury buy carry "
    "carve cause challenge change chase cheat check cheer chew choose clap "
    "climb cling collect combine compare compete complain complete confess "
    "confuse connect consider consist contain continue convince correct cough "
    "count cover crawl create creep cross crush cry cure cut damage dare "
    "decide decorate delay deliver deny depend describe deserve destroy "
    "develop dig disappear discover divide dive drag draw drift drink drive "
    "drop drown earn eat educate embrace employ encourage enjoy enter escape "
    "examine exist expand expect explain explore extend fade fail fall fasten "
    "fear feed feel fetch fight fill find float flow fly fold follow forbid "
    "forget forgive freeze gather gaze give glow glue grab greet grin grind "
    "grow guard guess happen hatch haunt hear heat help hide hire hold hop "
    "hope "
    "hover hug hunt hurry identify ignore imagine improve include increase "
    "inform inject injure instruct intend interrupt introduce invent invite "
    "itch join juggle jump keep kick kneel knit knock know laugh launch lead "
    "lean learn leave lend lick lie lift listen live load look lose love "
    "manage march marry measure meet melt mend mix move multiply mourn murmur "
    "nod notice obey object observe obtain occur offer overflow owe own pack "
    "pardon pause peel perform persuade place play plead please point polish "
    "possess pour practice pray prefer prepare present preserve pretend "
    "prevent print produce promise protect prove provide pull punch punish "
    "push put reach read realize receive recognize record reduce reflect "
    "refuse regret reject relax release rely remain remember remind remove "
    "repair repeat replace reply rescue rest retire return reveal rhyme ride "
    "rinse rise roar roll rub ruin run rush satisfy save say scatter scold "
    "scrape scratch scream scrub seek seem sell send separate serve settle sew "
    "shake share shave shelter shine shiver shout show shrink shrug sigh sing "
    "sit skip sleep slide smell smile snatch sneeze sniff snore soak soothe "
    "speak spell spend spill spin split spoil spread sprinkle squeak squeeze "
    "stand stare start stay steal steer step stir stitch stop strap stretch "
    "strike strip stroke study stumble subtract succeed suffer suggest suit "
    "supply support suppose surprise surround suspect suspend swallow sway "
    "swear sweep swell swim swing switch take talk tap taste teach tear tease "
    "tell tempt thank think throw tickle tie touch tow trace trade travel "
    "tremble trick trot trust try tug tumble turn twist understand unite "
    "unlock unpack vanish visit wail wait wake walk wander want warn wash "
    "waste weave weep weigh welcome whirl whisper win wink wipe wish wonder "
    "work worry wrap wreck wrestle write yawn yell yield";

std::vector<std::string> Split(const char* text) {
  const std::vector<std::string> all = absl::StrSplit(text, ' ');
  const std::set<std::string> sorted(all.begin(), all.end());
  return std::vector<std::string>(sorted.begin(), sorted.end());
}

}  // namespace

const std::vector<std::string>& Adjectives() {
  static const auto* words = new std::vector<std::string>(Split(kAdjectives));
  return *words;
}

const std::vector<std::string>& Nouns() {
  static const auto* words = new std::vector<std::string>(Split(kNouns));
  return *words;
}

const std::vector<std::string>& Verbs() {
  static const auto* words = new std::vector<std::string>(Split(kVerbs));
  return *words;
}

int64_t CompoundCount() {
  return static_cast<int64_t>(Adjectives().size() * Nouns().size());
}

std::string Compound(int64_t i) {
  const int64_t nouns = static_cast<int64_t>(Nouns().size());
  return absl::StrCat(Adjectives()[i / nouns], "-", Nouns()[i % nouns]);
}

const std::vector<std::string>& SimpleWords() {
  static const auto* words = [] {
    std::set<std::string> all;
    for (const auto* list : {&Nouns(), &Adjectives(), &Verbs()}) {
      all.insert(list->begin(), list->end());
    }
    return new std::vector<std::string>(all.begin(), all.end());
  }();
  return *words;
}

}  // namespace lt2::tasks
